"""All pairs of 8 oversubscribed ranks over loopback TCP: rounds, mpiGraph, and one ordered pair at a time.

`python bench/fabric_pairs.py [RUNS] [RANKS]`; needs Open MPI with mpicc. MPIGRAPH names mpiGraph's program (from
https://github.com/LLNL/mpiGraph, `mpicc -O2 mpiGraph.c`); without it that row says so. Runs are interleaved;
the median counts, and beside it stand the best and the worst, for other load on the machine shows there.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from fabric_method import RANK, build, mpirun

HERE = pathlib.Path(__file__).parent
PATH = "loopback TCP"
#: 15 windows of 10 messages of 1 MiB for each ordered pair. Half of ours are sent one way and half both ways at once,
#: each with a first message and a warm-up window: 2 x (1 + 2 + 36 x 2) = 150 messages. A window of 2 is what eight
#: ranks get that share a cache of 32 MiB.
SAME_BYTES = ["sizes=1048576", "windows=36", "window=2"]
MPIGRAPH = ["1048576", "15", "10"]
VERDICT = "a full verdict's figures, in rounds (default)"
SERIAL = "10,010 x 8 B and 12 x 4 MiB, one ordered pair at a time"
OURS, THEIRS = "150 MiB for each ordered pair, in rounds, checked", "150 MiB for each ordered pair, mpiGraph"


def timed(run: Callable[[], object]) -> float:
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


def rows(folder: str, ranks: int) -> dict[str, Callable[[], float]]:
    rank = f"{folder}/rank"
    turns = ";".join(f"{a}-{b}" for a in range(ranks) for b in range(a + 1, ranks))
    out = {
        VERDICT: lambda: timed(lambda: mpirun(ranks, PATH, [rank])),
        "the same with phases of 20 ms": lambda: timed(lambda: mpirun(ranks, PATH, [rank, "ms=20"])),
        "the same 20 ms, one pair at a time": lambda: timed(
            lambda: mpirun(ranks, PATH, [rank, "ms=20", f"pairs={turns}"])
        ),
        OURS: lambda: timed(lambda: mpirun(ranks, PATH, [rank, *SAME_BYTES])),
        SERIAL: lambda: timed(lambda: mpirun(ranks, PATH, [f"{folder}/serial"])),
    }
    if program := os.environ.get("MPIGRAPH"):
        out[THEIRS] = lambda: timed(lambda: mpirun(ranks, PATH, [program, *MPIGRAPH]))
    return out


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ranks = int(sys.argv[2]) if len(sys.argv) > 2 else 8  # noqa: PLR2004
    with tempfile.TemporaryDirectory() as folder:
        build(folder, serial=HERE / "fabric_serial.c", rank=RANK)
        what = rows(folder, ranks)
        found: dict[str, list[float]] = {name: [] for name in what}
        for _ in range(runs):
            for name, run in what.items():
                found[name].append(run())
    print(f"{ranks} ranks, {ranks * (ranks - 1)} ordered pairs, mpirun's start included; {runs} interleaved runs")
    print("| | median | best | worst |\n| --- | --- | --- | --- |")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values):.2f} s | {min(values):.2f} s | {max(values):.2f} s |")
    for one, other in ((SERIAL, VERDICT), (OURS, THEIRS)):
        if other in found:
            # Of each run by itself: what else the machine did was nearly the same for both.
            ratios = [x / y for x, y in zip(found[one], found[other], strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{one}, in times of {other!r}: {spread}")
    if "MPIGRAPH" not in os.environ:
        print("mpiGraph: absent (MPIGRAPH does not name its program)")


if __name__ == "__main__":
    main()
