"""The background tier: run what is too slow for the gate, and keep what it found for the gate to read.

Started by a timer. Nothing here is counted in milliseconds: it uses the agent that `ddlcheck cluster` sends to nodes.
"""

from __future__ import annotations

from ddlcheck.gates import promised, stamped, text
from ddlcheck.judging import one
from ddlcheck.wants import STAGED, Answer, slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ddlcheck.gates.node import Asked
    from ddlcheck.gates.promised import Promised
    from ddlcheck.verdict import Verdict
    from ddlcheck.wants import Want


def run(asked: Asked, seconds: float) -> None:
    """Look, judge, and keep it; raises `UsageError` for a bad intent file, `NotSeen` where nothing can be kept."""
    found = promised.load(asked.path, own=asked.own)
    verdicts, answers = gather(found, seconds)
    stamped.write(asked.background, found.declared, verdicts, answers)


def gather(found: Promised, seconds: float = 110.0) -> tuple[list[Verdict], dict[str, Answer]]:
    """Return the verdicts of the background tier's checks, and the answers that the gate's own checks lack, by want."""
    intent = found.intent
    whole = {name: _wants(name, found) for name in found.background}
    parts = {name: {k: want for k, want in _wants(name, found).items() if slow(want)} for name in found.gate}
    wanted = {text.dumps(want): want for wants in (*whole.values(), *parts.values()) for want in wants.values()}
    got = _ask(wanted, seconds)
    verdicts = []
    for name, wants in whole.items():
        seen = {key: got.get(text.dumps(want), Answer(why="not asked")) for key, want in wants.items()}
        verdicts.append(one.judge(name, _check(name), intent.node, seen, intent))
    kept = {text.dumps(want) for wants in parts.values() for want in wants.values()}
    return verdicts, {key: got[key] for key in kept if key in got}


def _check(name: str) -> Any:  # noqa: ANN401 - a module
    return __import__(f"ddlcheck.checks.{name}", fromlist=["judge"])


def _wants(name: str, found: Promised) -> Mapping[str, Want]:
    return _check(name).wants(found.intent)  # type: ignore[no-any-return]


def _ask(wanted: Mapping[str, Want], seconds: float) -> dict[str, Answer]:
    from ddlcheck.probes import local  # noqa: PLC0415 - threads and subprocesses: not for the gate

    return local.gather({key: want for key, want in wanted.items() if want["op"] not in STAGED}, seconds)
