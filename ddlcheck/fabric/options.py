"""How to measure: everything that a caller of the stage may choose."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Milliseconds of a phase below which a passing disturbance is most of what is measured.
LEAST_MS = 20


@dataclass(kw_only=True)
class Options:
    """How to measure; times in seconds unless they say ``ms``. The defaults suit a cluster at rest."""

    sizes: Sequence[int] = (8, 1 << 20)
    iterations: int = 1000
    ms: int = 100
    window: int = 16
    per_node: int = 1
    patience: float = 10.0
    #: In which every daemon has to come and the program to be built.
    start: float = 60.0
    time_budget: float = 600.0
    pairs: str = ""
    seed: int = 0
    #: What was declared is only forced when asked: else a wrong choice by the library would not be seen.
    transport: str = "any"
    force: bool = False
    interfaces: Sequence[str] = ()
    mpirun: str = "mpirun"
    mpicc: str = ""
    agent: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    rails: Sequence[str] = ()
    shared_cores: bool = False
    #: Nodes that promise CUDA-aware MPI: device buffers are exchanged between them.
    cuda: Sequence[str] = ()
    extra: Sequence[str] = ()

    def shorten(self, seconds: float) -> None:
        """Let a round take about so many seconds, if phases of `LEAST_MS` allow it; never longer than it did."""
        self.ms = max(LEAST_MS, min(self.ms, int(self.ms * seconds / self.per_round())))

    def per_round(self) -> float:
        """Return the seconds a round should take: a fifth of ``ms`` a latency, three streams a bandwidth."""
        latencies = sum(size < 65536 for size in self.sizes)  # noqa: PLR2004 - BIG in rank/base.h
        return 0.005 + self.ms * 1e-3 * (0.25 * latencies + 3.3 * (len(self.sizes) - latencies))
