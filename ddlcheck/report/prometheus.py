"""The result as metrics, for the textfile collector of Prometheus' node exporter, or a push gateway.

Written whole or not at all, as the collector asks; the names' units are seconds and bytes, as Prometheus asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ddlcheck.report import Result

    Sample = tuple[Mapping[str, str], float]

_STATUS = "0 skipped, 1 kept, 2 in doubt, 3 unknown, 4 broken"
#: Median of a node's partners: (metric, help, key of `ddlcheck.report.figures.medians`, labels, factor to the unit).
_NODE: tuple[tuple[str, str, str, Mapping[str, str], float], ...] = (
    ("latency_seconds", "Half a round trip", "latency_us", {}, 1e-6),
    ("bandwidth_bytes_per_second", "Bandwidth", "send_MBps", {"direction": "send"}, 1e6),
    ("bandwidth_bytes_per_second", "Bandwidth", "receive_MBps", {"direction": "receive"}, 1e6),
    ("bandwidth_bytes_per_second", "Bandwidth", "both_MBps", {"direction": "both"}, 1e6),
)


def render(result: Result) -> str:
    """Return the text format 0.0.4: every metric with its help and type."""
    lines: list[str] = []
    counts: list[Sample] = [({"status": status.name.lower()}, float(result.count(status))) for status in Status]
    lines += _metric("ddlcheck_exit_status", "0 ready, 1 not ready, 3 could not tell.", [({}, result.exit)])
    lines += _metric("ddlcheck_nodes", "Nodes that were judged.", [({}, len(result.nodes))])
    lines += _metric("ddlcheck_promises", "Promises by their worst status.", counts)
    lines += _metric("ddlcheck_promise_status", f"Of a promise on a node: {_STATUS}.", list(_by_node(result)))
    lines += _metric("ddlcheck_last_run_timestamp_seconds", "When the run began.", [({}, round(result.started, 3))])
    lines += _metric("ddlcheck_last_run_duration_seconds", "What the run took.", [({}, round(result.seconds, 3))])
    lines += _metric(
        "ddlcheck_fabric_culprit_ratio", "Of what is named as slow: measured to expected.", _culprits(result)
    )
    lines += _fabric(result)
    return "".join(f"{line}\n" for line in lines)


def _metric(name: str, says: str, samples: list[Sample]) -> list[str]:
    if not samples:
        return []
    return [f"# HELP {name} {says}", f"# TYPE {name} gauge", *(f"{name}{_labels(x)} {y:.10g}" for x, y in samples)]


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _by_node(result: Result) -> Iterator[Sample]:
    worst: dict[tuple[str, str], Status] = {}
    for verdict in result.verdicts:
        for node in verdict.nodes:
            key = verdict.promise, node
            worst[key] = max(verdict.status, worst.get(key, Status.SKIP))
    for (promise, node), status in worst.items():
        yield {"promise": promise, "node": node}, float(status)


def _culprits(result: Result) -> list[Sample]:
    found = [c for verdict in result.verdicts for c in verdict.evidence.get("culprits", [])]
    return [({"kind": c["kind"], "nodes": ",".join(c["nodes"]), "metric": c["metric"]}, c["ratio"]) for c in found]


def _fabric(result: Result) -> list[str]:
    if result.fabric is None:
        return []
    from ddlcheck.report import figures  # noqa: PLC0415 - numpy

    medians = figures.medians(result.fabric)
    samples: dict[tuple[str, str], list[Sample]] = {}
    for metric, what, key, labels, factor in _NODE:
        found: list[Sample] = [({"node": n, **labels}, own[key] * factor) for n, own in medians.items() if key in own]
        samples.setdefault((metric, what), []).extend(found)
    lines = []
    for (metric, what), some in samples.items():
        lines += _metric(f"ddlcheck_fabric_{metric}", f"{what} of a node, the median of its partners.", some)
    return lines
