"""What proving a data set costs: the quick look, and reading every byte beside sha256sum doing the same.

    python bench/dataset.py [--files 20000] [--gib 4] [--in FOLDER] [--turns 5]

sha256sum reads with as many processes as there are cores (xargs -P), so both are compared per core; and once more
with one of each on one core. In turns, with the files in the page cache (warm) and after it was told to forget them
(cold); medians count. Where sha256sum is not built with OpenSSL (Debian 12's is not), Python's hash is the faster
one by its library alone, so `openssl dgst` is timed, too: it has the same library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from ddlcheck.probes import parts

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = parts.program("dataset")


def program(verb: str, spec: dict) -> dict:
    """Run a verb as on a node; return what it says."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, verb, json.dumps(spec)], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    if "result" not in said or said["result"].get("differences"):
        sys.exit(f"{verb}: {str(said)[:500]}")
    return said["result"]


def fill(folder: pathlib.Path, files: int, size: int) -> None:
    """Make files whose bytes all differ, in a hundred folders."""
    block = os.urandom(1 << 20)
    for number in range(files):
        below = folder / f"{number % 100:02}"
        below.mkdir(parents=True, exist_ok=True)
        with (below / f"{number:06}.bin").open("wb") as file:
            file.write(number.to_bytes(8, "little"))
            for left in range(size - 8, 0, -len(block)):
                file.write(block[:left])


def forget(folder: pathlib.Path) -> None:
    """Have the kernel drop these files from its cache, and nobody else's."""
    for path in folder.rglob("*.bin"):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def others(folder: pathlib.Path, cores: int, *words: str) -> None:
    """Hash every file with a command, so many processes at once, each for many files."""
    find = subprocess.Popen(["find", str(folder), "-type", "f", "-print0"], stdout=subprocess.PIPE)
    argv = ["xargs", "-0", "-n", "250", "-P", str(cores), *words]
    subprocess.run(argv, stdin=find.stdout, stdout=subprocess.DEVNULL, check=True)
    find.wait()


def timed(*acts: Callable[[], object], before: Callable[[], object], turns: int) -> list[float]:
    """Return each act's median seconds; they take turns, so that what slows the machine slows all."""
    took: list[list[float]] = [[] for _ in acts]
    for _ in range(turns):
        for seconds, act in zip(took, acts, strict=True):
            before()
            begun = time.monotonic()
            act()
            seconds.append(time.monotonic() - begun)
    return [statistics.median(seconds) for seconds in took]


def compare(source: pathlib.Path, spec: dict, turns: int, mib: float) -> None:
    """Print the table."""
    every = sorted(os.sched_getaffinity(0))
    (warm,) = timed(lambda: program("quick", spec), before=lambda: None, turns=turns)
    (cold,) = timed(lambda: program("quick", spec), before=lambda: forget(source), turns=turns)
    print(f"quick look: {warm:.2f} s warm, {cold:.2f} s with the files' content cold")
    print(f"{'MiB/s per core':24}{'every byte':>12}{'sha256sum':>12}{'openssl':>12}{'of sha256sum':>14}")
    openssl = [("openssl", "dgst", "-sha256")] if shutil.which("openssl") else []
    for title, cores, before in (
        (f"warm, {len(every)} cores", every, lambda: None),
        ("warm, one core", every[:1], lambda: None),
        (f"cold, {len(every)} cores", every, lambda: forget(source)),
    ):
        os.sched_setaffinity(0, cores)
        acts = [lambda: program("full", spec)]
        acts += [lambda w=words: others(source, len(cores), *w) for words in (("sha256sum",), *openssl)]  # noqa: B023 - called in this turn
        ours, *theirs = timed(*acts, before=before, turns=turns)
        speeds = [f"{mib / seconds / len(cores):12.0f}" for seconds in (ours, *theirs)]
        print(f"{title:24}{''.join(speeds)}{100 * theirs[0] / ours:12.0f} %")
    os.sched_setaffinity(0, every)


def main() -> None:
    """Make the data set, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--gib", type=float, default=4.0)
    parser.add_argument("--in", dest="where", type=pathlib.Path, default=None)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.where) as name:
        source = pathlib.Path(name) / "source"
        fill(source, args.files, int(args.gib * 2**30 / args.files))
        os.sync()  # what is not written yet cannot be forgotten
        made = program("manifest", {"root": str(source)})
        (pathlib.Path(name) / f".set@{made['digest'][:16]}.manifest").write_text(made["manifest"])
        assert hashlib.sha256(made["manifest"].encode()).hexdigest() == made["digest"]  # noqa: S101
        spec = {
            "name": "set", "dest": str(source), "digest": made["digest"], "owner": "", "index": 0, "count": 0,
            "walk": True, "budget": 2.0, "sample": 16,
        }  # fmt: skip
        print(f"{args.files} files, {args.gib:g} GiB, medians of {args.turns}, load {os.getloadavg()[0]:.1f}")
        compare(source, spec, args.turns, args.gib * 1024)


if __name__ == "__main__":
    main()
