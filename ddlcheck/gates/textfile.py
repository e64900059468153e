"""The verdict for node exporter's textfile collector, in Prometheus' text format."""

from __future__ import annotations

import time

from ddlcheck.gates import files
from ddlcheck.verdict import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ddlcheck.gates.result import Result


def write(result: Result, path: str) -> None:
    """Write the metrics; the collector reads whole files only, so they are moved into place."""
    files.replace(path, render(result, time.time()).encode())


def render(result: Result, now: float) -> str:
    """Return the metrics; ``ddlcheck_promise`` is 1 for the status that a promise has, 0 for the others."""
    worst: dict[str, Status] = {}
    for v in result.verdicts:
        worst[v.promise] = max(v.status, worst.get(v.promise, Status.SKIP))
    rows = [
        "# HELP ddlcheck_exit Exit status of the node gate: 0 ready, 1 not ready, 2 configuration, 3 could not tell.",
        "# TYPE ddlcheck_exit gauge",
        f"ddlcheck_exit {result.exit}",
        "# HELP ddlcheck_last_run_timestamp_seconds When the gate judged last.",
        "# TYPE ddlcheck_last_run_timestamp_seconds gauge",
        f"ddlcheck_last_run_timestamp_seconds {now:.3f}",
        "# HELP ddlcheck_duration_seconds How long it took.",
        "# TYPE ddlcheck_duration_seconds gauge",
        f"ddlcheck_duration_seconds {result.ms / 1000:.4f}",
        "# HELP ddlcheck_promise Whether a promise has a status.",
        "# TYPE ddlcheck_promise gauge",
    ]
    for promise, found in sorted(worst.items()):
        for status in Status:
            labels = f'promise="{_label(promise)}",status="{status.name.lower()}"'
            rows.append(f"ddlcheck_promise{{{labels}}} {int(status is found)}")
    return "\n".join(rows) + "\n"


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
