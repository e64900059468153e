"""What a gate says: verdicts, and one number that sums them up."""

from __future__ import annotations

from ddlcheck.lines import clean
from ddlcheck.verdict import EXIT_READY, EXIT_USAGE, Status, Verdict, exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Result:
    """The verdict of one node's gate.

    ``refused`` is the sentence on an intent file that cannot be used: then nothing was judged and ``exit`` is 2.
    ``declared`` is the digest of the intent. ``exit`` 0 is the only yes.
    """

    __slots__ = ("declared", "exit", "ms", "node", "refused", "verdicts")

    def __init__(
        self, node: str, verdicts: Sequence[Verdict], *, declared: str = "", refused: str = "", ms: float = 0.0
    ) -> None:
        self.node = node
        self.verdicts = list(verdicts)
        self.declared = declared
        self.refused = refused
        self.ms = ms
        self.exit = EXIT_USAGE if refused else exit_status(self.verdicts)

    @property
    def bad(self) -> list[Verdict]:
        """What is not in order, the worst first."""
        return sorted((v for v in self.verdicts if v.status > Status.PASS), key=lambda v: -v.status)

    def reason(self, longest: int = 200) -> str:
        """Return the promises that stop a job and the first cause, on one line; empty when the node is ready."""
        if self.exit == EXIT_READY:
            return ""
        if self.refused:
            return clean(self.refused)[:longest]
        bad = [v for v in self.bad if v.status > Status.WARN]
        if not bad:
            return "nothing was judged"
        names = ",".join(dict.fromkeys(v.promise for v in bad))
        return clean(f"{names} {bad[0].status.name}: {bad[0].cause or bad[0].seen}")[:longest]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "node": self.node, "exit": self.exit, "declared": self.declared, "refused": self.refused,
            "ms": round(self.ms, 1), "verdicts": [v.to_json() for v in self.verdicts],
        }  # fmt: skip

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Result:
        """Read what `to_json` wrote; raises ``KeyError``, ``TypeError`` or ``ValueError`` on anything else."""
        names = ("node", "declared", "refused")
        if not all(type(body[name]) is str for name in names) or type(body["verdicts"]) is not list:
            raise TypeError("fields of another type")
        verdicts = [verdict_of(record) for record in body["verdicts"]]
        out = cls(body["node"], verdicts, declared=body["declared"], refused=body["refused"], ms=float(body["ms"]))
        if out.exit != body["exit"]:
            raise ValueError("its exit status is not the one of its verdicts")
        return out


_WORDS = ("cause", "promise", "promised", "remedy", "seen")


def verdict_of(record: Any) -> Verdict:  # noqa: ANN401 - JSON
    """Return a verdict that was kept as JSON; raises like `Result.from_json`."""
    found = Verdict.from_json(record)
    if not all(type(getattr(found, name)) is str for name in _WORDS) or not all(type(n) is str for n in found.nodes):
        raise TypeError("a verdict with fields of another type")
    found.ms = float(found.ms)
    return found
