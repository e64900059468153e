"""One judge, one node, one verdict: what cannot be seen, and what crashes the judge, is UNKNOWN."""

from __future__ import annotations

import time

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer


def judge(promise: str, check: Any, node: str, seen: Mapping[str, Answer], intent: Intent) -> Verdict:  # noqa: ANN401
    """Return the verdict of one check on one node, stamped with both names and what it took."""
    begun = time.perf_counter()
    try:
        verdict = check.judge(seen, intent)
        if not isinstance(verdict, Verdict):
            verdict = crashed(TypeError("it returned no verdict"))
    except NotSeen as exc:
        verdict = Verdict(Status.UNKNOWN, str(exc), cause="what this promise is judged by could not be seen")
    except Exception as exc:  # noqa: BLE001 - a judge that crashes has not judged
        verdict = crashed(exc)
    took = (time.perf_counter() - begun) * 1000
    return stamp(verdict, promise, (node,), took + max((a.ms for a in seen.values()), default=0.0))


def stamp(verdict: Verdict, promise: str, nodes: tuple[str, ...], ms: float) -> Verdict:
    """Say of a verdict whose it is."""
    verdict.promise, verdict.nodes, verdict.ms = promise, nodes, ms
    return verdict


def crashed(exc: Exception) -> Verdict:
    """Return the verdict of a judge that crashed: it has not judged."""
    return Verdict(
        Status.UNKNOWN,
        f"the judge failed: {type(exc).__name__}: {exc}"[:300],
        cause="a bug in this check, or output of a form that it does not know",
        evidence={"exception": type(exc).__name__},
    )
