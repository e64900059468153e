"""Judge and render a simulated matrix of 1,024 nodes with nine planted faults, in a process of its own."""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from ddlcheck.judging.matrix import Matrix


def plant(n: int, seed: int) -> Matrix:
    r = np.random.default_rng(seed)
    rack = np.arange(n) // 32
    slow = r.normal(0, 0.03, (n, n)) + np.where(rack[:, None] == rack[None, :], 0, 0.34)
    table = 12000 / np.exp(slow)
    for k in (5, 100, 900):
        table[k, :] *= 0.5
        table[:, k] *= 0.5
    for a, b in ((1, 2), (3, 700), (44, 45), (500, 501), (10, 20)):
        table[a, b] *= 0.4
        table[b, a] *= 0.4
    table[7, 77] *= 0.3
    np.fill_diagonal(table, np.nan)
    return Matrix([f"node{i:04}" for i in range(n)], bandwidth=table.round(2))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        (at / "m").write_text(json.dumps(plant(1024, 1).to_json()))
        words = ["fabric", "--from-matrix", at / "m", "--html", at / "h", "--json", at / "j"]
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "ddlcheck", *map(str, words)], check=False, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = [c for v in json.loads((at / "j").read_text())["verdicts"] for c in v["evidence"].get("culprits", [])]
        print(f"culprits {len(found)} of 9, wall {wall:.2f} s, CPU {used.ru_utime + used.ru_stime:.2f} s, "
              f"memory {used.ru_maxrss / 1024:.0f} MiB, HTML {(at / 'h').stat().st_size / 1e6:.2f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
