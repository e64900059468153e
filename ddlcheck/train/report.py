"""What the job found, as text and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ddlcheck.train.learner import ROUNDING
from ddlcheck.train.scaling import crowded

if TYPE_CHECKING:
    from ddlcheck.train.learner import Plan, Proof
    from ddlcheck.train.scaling import Place, Speed

#: Hosts named in the first line; the number says the rest.
_NAMED = 8
#: Losses shown of all steps.
_SHOWN = 6


class Report(NamedTuple):
    """Everything that is known in the end."""

    places: list[Place]
    library: str
    backend: str
    plan: Plan
    losses: list[float]
    proof: Proof
    right: float
    tested: int
    speeds: list[Speed]

    @property
    def hosts(self) -> list[str]:
        """Return the hosts, in the order of ranks."""
        return list(dict.fromkeys(place.host for place in self.places))

    def text(self) -> str:
        """Return the report for a reader."""
        ranks, plan = len(self.places), self.plan
        hosts = ", ".join(self.hosts[:_NAMED]) + (", …" if len(self.hosts) > _NAMED else "")
        lines = [
            f"{_many(ranks, 'rank')} on {_many(len(self.hosts), 'host')} ({hosts}): {self.library}, {self.backend}",
            f"{_many(plan.steps, 'step')} of {plan.batch} samples, {plan.batch // ranks} for each rank",
            *(f"  step {step + 1:<5} loss {self.losses[step]:.6f}" for step in self._steps()),
            f"  {self.right:.1%} of {self.tested} digits never seen are told right",
            *self._proofs(),
            *self._table(),
        ]
        return "\n".join(lines) + "\n"

    def _steps(self) -> list[int]:
        last = len(self.losses) - 1
        return sorted({round(place * last / (_SHOWN - 1)) for place in range(_SHOWN)})

    def _proofs(self) -> list[str]:
        proof, one = self.proof, len(self.places) == 1
        odd = _odd(proof.weights)
        lines = [
            _line(proof.equal_data, "all ranks read the same data", f"rank {_odd(proof.data)} reads other data"),
            _line(
                proof.equal_weights,
                f"equal weights on all ranks, bit by bit (sha256 {proof.weights[0][:16]})",
                f"rank {odd} ends with other weights than rank 0",
            ),
            _line(
                proof.same_loss,
                f"the loss of every step is that of one rank with the whole batch (apart {proof.apart:.1g})",
                f"the loss is not that of one rank with the whole batch (apart {proof.apart:.1g}, over {ROUNDING:g})",
            ),
        ]
        return [*lines, "NOTE  one rank alone: nothing was sent"] if one else lines

    def _table(self) -> list[str]:
        if not self.speeds:
            return []
        lines = ["ranks  hosts    samples/s  efficiency"]
        lines += [f"{one.ranks:5}  {one.hosts:5}  {one.samples:11,.0f}  {one.efficiency:10.2f}" for one in self.speeds]
        if crowded(self.places):
            lines.append("NOTE  a host has more ranks than cores for them: the efficiency says that, not the network")
        return lines

    def data(self) -> dict[str, Any]:
        """Return the report for a program."""
        proof = self.proof
        return {
            "schema": 1,
            "ranks": len(self.places), "hosts": self.hosts, "library": self.library, "backend": self.backend,
            "plan": self.plan._asdict(), "losses": self.losses,
            "accuracy": self.right, "tested": self.tested,
            "proven": proof.holds, "equal_data": proof.equal_data, "equal_weights": proof.equal_weights,
            "same_loss": proof.same_loss, "apart": proof.apart, "weights": proof.weights[0],
            "crowded": crowded(self.places), "scaling": [one._asdict() for one in self.speeds],
        }  # fmt: skip


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _odd(digests: tuple[str, ...]) -> str:
    """Return the ranks that differ from rank 0."""
    odd = [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]
    return ", ".join(odd[:_NAMED]) + (f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else "")


def _line(holds: bool, good: str, bad: str) -> str:  # noqa: FBT001 - reads as a question
    return f"PASS  {good}" if holds else f"FAIL  {bad}"
