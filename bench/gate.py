"""What `ddlcheck gate` costs on many nodes: wall time, processor time and memory of the machine that asks.

``python bench/gate.py 1000``. The nodes are simulated (tests/gates/simulated.py) and share this machine: a local
connection runs the whole question for each of them here, so most of the wall time is theirs.
The memory is the gate's own.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.gates.simulated import Simulated  # noqa: E402 - from the checkout


def measure(count: int) -> tuple[int, float, float, int, str]:
    """Return exit status, wall seconds, processor seconds of the gate and its nodes, peak KiB, and the first words."""
    with tempfile.TemporaryDirectory(prefix="ddlcheck-bench-") as folder:
        nodes = Simulated(pathlib.Path(folder) / "sim", count)
        said = pathlib.Path(folder) / "said"
        env = {**nodes.environment(os.environ), "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": folder}
        argv = [sys.executable, "-m", "ddlcheck", "gate", *nodes.words, "--deadline", "3600", "--", "true"]
        begun = time.monotonic()
        out = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
        both = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
        pid = os.posix_spawn(argv[0], argv, env, file_actions=both)
        os.close(out)
        _, status, used = os.wait4(pid, 0)
        wall = time.monotonic() - begun
        first = (said.read_text(encoding="utf-8").splitlines() or [""])[0]
        return os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss, first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", nargs="*", type=int, default=[100, 1000])
    parser.add_argument("--most", type=int, default=200, metavar="MIB", help="fail above this (200)")
    args = parser.parse_args()
    bad = 0
    for count in args.nodes:
        status, wall, cpu, peak, first = measure(count)
        print(f"{count} nodes: {wall:.1f} s wall, {cpu:.1f} s of processor, {peak / 1024:.0f} MiB at most; {first}")
        bad |= status != 0 or peak > args.most * 1024
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
