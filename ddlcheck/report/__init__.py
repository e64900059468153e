"""Verdicts in, text out: one module is one form, with one function ``render``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ddlcheck.verdict import Status, exit_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.verdict import Verdict

#: The form of the JSON; a change that a reader could trip over raises it.
SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """Everything a report is made from.

    ``promises`` is ``{name: sentence}`` of what was judged; ``own_names`` the names and addresses of each
    node, by which otherwise equal sentences are recognised; ``started`` and ``seconds`` are wall time;
    ``fabric`` is what every pair achieved, where that was measured.
    """

    source: str
    nodes: tuple[str, ...]
    promises: Mapping[str, str]
    verdicts: Sequence[Verdict]
    started: float
    seconds: float
    own_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fabric: Matrix | None = None

    @property
    def exit(self) -> int:
        """The exit status all forms agree on."""
        return exit_status(self.verdicts)

    def count(self, status: Status) -> int:
        """Return how many promises have this as their worst status."""
        worst = {p: max((v.status for v in self.verdicts if v.promise == p), default=None) for p in self.promises}
        return sum(1 for found in worst.values() if found is status)
