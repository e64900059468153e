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
RANK = HERE.parent / "ddlcheck" / "fabric" / "rank.c"
ROOT = ["--allow-run-as-root"] if os.geteuid() == 0 else []
PATHS = {
    "shared memory": ["--mca", "btl", "self,vader"],
    "loopback TCP": ["--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"],
}


def mpirun(ranks: int, path: str, program: list[str]) -> str:
    argv = ["mpirun", *ROOT, "--oversubscribe", "--mca", "pml", "ob1", *PATHS[path], "-n", str(ranks), *program]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def pairs(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.partition("@ddlcheck@ ")[2]) for line in text.splitlines() if '"t":"pair"' in line]


def beside_osu(folder: str, runs: int) -> None:
    print("| path | what | OSU method | rank.c | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for path in PATHS:
        values = {}
        for _ in range(runs):
            for name, size, n in (("latency", "8", "5000"), ("bandwidth", str(4 << 20), "20")):
                values.setdefault((name, "osu"), []).append(float(mpirun(2, path, [f"{folder}/osu", size, n])))
                words = [f"{folder}/rank", f"sizes={size}", "ms=150", "iterations=5000"]
                (pair,) = pairs(mpirun(2, path, words))
                value = pair["lat"][0]["median"] if name == "latency" else pair["bw"][0]["ab"]
                values.setdefault((name, "ours"), []).append(value)
        for name, unit in (("latency", "us"), ("bandwidth", "MB/s")):
            best = min if name == "latency" else max
            osu, ours = (best(values[name, who]) for who in ("osu", "ours"))
            print(f"| {path} | {name} | {osu:.4g} {unit} | {ours:.4g} | {ours / osu:.3f} |", flush=True)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("osu", HERE / "fabric_osu.c"), ("rank", RANK)):
            subprocess.run(["mpicc", "-O2", "-std=gnu11", "-o", f"{folder}/{name}", str(source), "-ldl", "-pthread"], check=True)
        beside_osu(folder, runs)


if __name__ == "__main__":
    main()
