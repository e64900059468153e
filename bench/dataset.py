"""What proving a data set costs: the quick look, and reading every byte beside sha256sum doing the same.

python bench/dataset.py [--files 20000] [--gib 4] [--in FOLDER]

sha256sum reads with as many processes as there are cores (xargs -P), so both are compared per core. Each is run three
times, in turns, with the files in the page cache; the best of each counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PROGRAM = pathlib.Path(__file__).parents[1] / "roles" / "dataset" / "files" / "dataset.py"
TURNS = 3


def program(verb: str, spec: dict) -> tuple[dict, float]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), verb, json.dumps(spec)], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    if "result" not in said:
        sys.exit(str(said))
    return said["result"], time.monotonic() - begun


def fill(folder: pathlib.Path, files: int, size: int) -> None:
    block = os.urandom(1 << 20)
    for number in range(files):
        below = folder / f"{number % 100:02}"
        below.mkdir(parents=True, exist_ok=True)
        with (below / f"{number:06}.bin").open("wb") as file:
            file.write(number.to_bytes(8, "little"))
            for left in range(size - 8, 0, -len(block)):
                file.write(block[:left])


def sha256sum(folder: pathlib.Path, cores: int) -> float:
    begun = time.monotonic()
    find = subprocess.Popen(["find", str(folder), "-type", "f", "-print0"], stdout=subprocess.PIPE)
    subprocess.run(
        ["xargs", "-0", "-n", "64", "-P", str(cores), "sha256sum"],
        stdin=find.stdout,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    find.wait()
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--gib", type=float, default=4.0)
    parser.add_argument("--in", dest="where", type=pathlib.Path, default=None)
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=args.where) as name:
        source = pathlib.Path(name) / "source"
        fill(source, args.files, int(args.gib * 2**30 / args.files))
        made, _ = program("manifest", {"root": str(source)})
        (pathlib.Path(name) / f".set@{made['digest'][:16]}.manifest").write_text(made["manifest"])
        assert hashlib.sha256(made["manifest"].encode()).hexdigest() == made["digest"]  # noqa: S101
        spec = {
            "name": "set", "dest": str(source), "digest": made["digest"], "owner": "", "index": 0, "count": 0,
            "walk": True, "budget": 2.0, "sample": 16,
        }  # fmt: skip
        quick, full, theirs = [], [], []
        for _ in range(TURNS):
            quick.append(program("quick", spec)[1])
            full.append(program("full", spec)[1])
            theirs.append(sha256sum(source, cores))
        mib = args.gib * 1024
        print(f"{args.files} files, {args.gib:g} GiB, {cores} cores, best of {TURNS}")
        print(f"quick look            {min(quick):7.2f} s")
        print(f"every byte            {min(full):7.2f} s  {mib / min(full) / cores:6.0f} MiB/s per core")
        print(f"sha256sum             {min(theirs):7.2f} s  {mib / min(theirs) / cores:6.0f} MiB/s per core")
        print(f"of sha256sum's        {100 * min(theirs) / min(full):7.0f} %")


if __name__ == "__main__":
    main()
