"""The verdict as monitoring plug-ins say it: one line, and their own exit statuses."""

from __future__ import annotations

from ddlcheck.lines import clean
from ddlcheck.verdict import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ddlcheck.gates.result import Result

#: Monitoring Plugins Development Guidelines: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def exit_status(result: Result) -> int:
    """Return the plug-in's exit status."""
    if result.exit == 0:
        return WARNING if any(v.status is Status.WARN for v in result.verdicts) else OK
    return CRITICAL if result.exit == 1 else UNKNOWN


def render(result: Result) -> str:
    """Return one line: state, why, and performance data after a bar (which a reason may therefore not hold)."""
    state = exit_status(result)
    kept = sum(v.status is Status.PASS for v in result.verdicts)
    bad = [v for v in result.bad if v.promise]
    why = result.refused or "; ".join(f"{v.promise}: {v.cause or v.seen}" for v in bad) or f"{kept} promises kept"
    line = clean(f"DDLCHECK {_WORDS[state]} - {why}").replace("|", "/")[:1000]
    return f"{line} | kept={kept} broken={len(bad)} time={result.ms / 1000:.3f}s\n"
