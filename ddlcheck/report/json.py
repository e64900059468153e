"""The whole result for machines: passes as well as failures, with the schema in docs/report.schema.json."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ddlcheck import __version__
from ddlcheck.report import SCHEMA
from ddlcheck.verdict import Status

if TYPE_CHECKING:
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
        },
        indent=1,
        ensure_ascii=True,
    ) + "\n"  # fmt: skip
