"""The whole result for machines: passes as well as failures, with the schema in docs/report.schema.json."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ddlcheck import __version__
from ddlcheck.report import SCHEMA
from ddlcheck.verdict import Status

if TYPE_CHECKING:
    from typing import Any

    from ddlcheck.report import Result


def render(result: Result) -> str:
    """Return one JSON object."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "ddlcheck": __version__,
            "inventory": result.source,
            "started": datetime.fromtimestamp(result.started, UTC).isoformat(timespec="seconds"),
            "seconds": round(result.seconds, 3),
            "exit": result.exit,
            "nodes": list(result.nodes),
            "promises": dict(result.promises),
            "summary": {status.name: result.count(status) for status in Status},
            "verdicts": [verdict.to_json() for verdict in result.verdicts],
            **_fabric(result),
        },
        indent=1,
        ensure_ascii=True,
    ) + "\n"  # fmt: skip


def _fabric(result: Result) -> dict[str, Any]:
    """Return what each node achieved with the median of its partners; every pair, too, of a small cluster."""
    if result.fabric is None:
        return {}
    from ddlcheck.report import figures  # noqa: PLC0415 - numpy

    pairs = result.fabric.to_json() if len(result.fabric.nodes) <= figures.EVERY_PAIR else {}
    return {"fabric": {"medians": figures.medians(result.fabric), **({"pairs": pairs} if pairs else {})}}
