"""Every module here is one check, and bears the name of its promise and of the role that mends it.

A check is found by being here; this file is not edited to add one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    from ddlcheck.intent import Intent
    from ddlcheck.verdict import Verdict
    from ddlcheck.wants import Answer, Wants

    Seen = Mapping[str, Answer]

    class Check(Protocol):
        """What a module must define to be a check; `NO_ROLE` and `judge_together` are optional.

        The first line of its docstring is the promise in the present tense. ``NO_ROLE: str`` says why no
        role mends it; ``DEFAULTS`` holds its variables where no role does; ``NODE_LOCAL = False``: one node alone
        cannot prove it. ``TIER = "gate"``: the node gate judges it, with stamped answers to its slow wants; without
        the word a check that has slow wants is judged as a whole in the background tier.
        ``judge_together(seen_by_node, intents)`` judges what spans nodes, and sees only nodes that answered.
        """

        __name__: str
        __doc__: str | None

        def wants(self, intent: Intent) -> Wants:
            """Return what to gather on this node, by the names `judge` will use."""

        def judge(self, seen: Seen, intent: Intent) -> Verdict:
            """Judge one node; pure. May raise `NotSeen`, which becomes UNKNOWN."""

    class Together(Protocol):
        """A check whose promise spans nodes."""

        def judge_together(self, seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
            """Judge the nodes against each other; pure. Every verdict names its nodes."""


def names() -> list[str]:
    """Return the name of every check, sorted."""
    import pkgutil  # noqa: PLC0415 - the node gate is told its checks, and counts milliseconds

    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(only: Iterable[str] | None = None) -> dict[str, Check]:
    """Import the named checks (every one by default), by name."""
    from importlib import import_module  # noqa: PLC0415

    return {name: import_module(f"{__name__}.{name}") for name in (only or names())}


def promise(check: Check) -> str:
    """Return the sentence a check stands for."""
    return (check.__doc__ or "").strip().partition("\n")[0]
