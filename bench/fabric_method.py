"""The rank program beside the OSU method; the best of interleaved runs. All pairs are in `fabric_pairs.py`.

The best, for other load on the machine makes slower and never faster, and it spoils a mean (OSU) more than a median.

Needs Open MPI with mpicc; run it on an idle machine: `python bench/fabric_method.py [RUNS]`.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

HERE = pathlib.Path(__file__).parent
RANK = HERE.parent / "ddlcheck" / "fabric" / "rank" / "rank.c"
LARGE = 4 << 20
#: Messages of 4 MiB in a window of ours: 8 MiB stay in the cache. TCP is the faster the fewer are under way at once.
WINDOW = 2
ROOT = ["--allow-run-as-root"] if os.geteuid() == 0 else []
PATHS = {
    "shared memory": ["--mca", "btl", "self,vader"],
    "loopback TCP": ["--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"],
}


def mpirun(ranks: int, path: str, program: list[str]) -> str:
    argv = ["mpirun", *ROOT, "--oversubscribe", "--mca", "pml", "ob1", *PATHS[path], "-n", str(ranks), *program]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def build(folder: str, **sources: pathlib.Path) -> None:
    for name, source in sources.items():
        what = ["-O2", "-std=gnu11", "-o", f"{folder}/{name}", str(source), "-ldl", "-pthread"]
        subprocess.run(["mpicc", *what], check=True)


def pairs(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.partition("@ddlcheck@ ")[2]) for line in text.splitlines() if '"t":"pair"' in line]


def beside_osu(folder: str, runs: int) -> None:
    """Print the rank program's figure in times of the method's: with the same window, and with osu_bw's own of 64."""
    print("| path | what | OSU method | rank.c | ratio |")
    print("| --- | --- | --- | --- | --- |")
    kinds = {
        "latency": ("8", "5000", "1"),
        f"bandwidth, windows of {WINDOW}": (str(LARGE), "160", str(WINDOW)),
        "bandwidth, theirs of 64": (str(LARGE), "5", "64"),
    }
    for path in PATHS:
        values: dict[tuple[str, str], list[float]] = {}
        for _ in range(runs):
            for name, (size, n, window) in kinds.items():
                values.setdefault((name, "osu"), []).append(float(mpirun(2, path, [f"{folder}/osu", size, n, window])))
                words = [f"{folder}/rank", f"sizes={size}", "ms=150", "iterations=5000", f"window={WINDOW}"]
                (pair,) = pairs(mpirun(2, path, words))
                value = pair["lat"][0]["median"] if name == "latency" else pair["bw"][0]["ab"]
                values.setdefault((name, "ours"), []).append(value)
        for name in kinds:
            best, unit = (min, "us") if name == "latency" else (max, "MB/s")
            osu, ours = (best(values[name, who]) for who in ("osu", "ours"))
            print(f"| {path} | {name} | {osu:.4g} {unit} | {ours:.4g} | {ours / osu:.3f} |", flush=True)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        build(folder, osu=HERE / "fabric_osu.c", rank=RANK)
        beside_osu(folder, runs)


if __name__ == "__main__":
    main()
