"""The data set program as a node has it, and a data set to try it on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from ddlcheck.probes import parts

PROGRAM = parts.program("dataset")


def module() -> dict[str, Any]:
    """Return the program's names, as the agent has them, and those of its modules."""
    space: dict[str, Any] = {"__name__": "dataset"}
    exec(compile(PROGRAM, "dataset.py", "exec"), space)  # noqa: S102 - as the agent does
    for name in parts.files("dataset")["modules"].split():
        space.update(vars(sys.modules[name]))
    return space


def fill(folder: Path, files: int, size: int, seed: int = 1) -> None:
    """Make a data set of ``files`` files of about ``size`` bytes, in folders of folders."""
    some = random.Random(seed)  # noqa: S311 - the same every time
    for number in range(files):
        below = folder / f"c{number % 7}" / f"d{number % 3}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"f {number}.bin").write_bytes(some.randbytes(some.randrange(size, size * 2)))


class Set:
    """A source, its manifest, and a destination of its own."""

    def __init__(self, folder: Path, files: int = 60, size: int = 4000, **spec: Any) -> None:
        self.folder, self.source, self.dest = folder, folder / "source", folder / "data" / "set"
        if not self.source.exists():
            fill(self.source, files, size)
        self.dest.parent.mkdir(exist_ok=True)
        text = module()["make"](str(self.source))
        self.spec: dict[str, Any] = {
            "name": "set", "dest": str(self.dest), "method": "copy", "source": str(self.source),
            "checksum": "", "strip": 0, "index": 0, "count": 0, "owner": "", "budget": 2.0, "sample": 8, "walk": True,
            "full": False, **spec,
        }  # fmt: skip
        self.declare(text)

    def declare(self, text: str) -> None:
        """Hand out a manifest."""
        self.text, self.digest = text, hashlib.sha256(text.encode()).hexdigest()
        self.spec["digest"] = self.digest
        self.manifest.write_text(text)

    @property
    def manifest(self) -> Path:
        return self.dest.parent / f".set@{self.digest[:16]}.manifest"

    @property
    def names(self) -> list[str]:
        return sorted(str(p.relative_to(self.source)) for p in self.source.rglob("*") if p.is_file())

    def argv(self, verb: str, **changed: Any) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", PROGRAM, verb, json.dumps({**self.spec, **changed})]

    def run(self, verb: str, **changed: Any) -> dict[str, Any]:
        """Return ``{"result": …}`` or ``{"error": …}``, as a node prints it last."""
        done = subprocess.run(self.argv(verb, **changed), capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout, done.stderr
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    def result(self, verb: str, **changed: Any) -> dict[str, Any]:
        said = self.run(verb, **changed)
        assert "result" in said, said
        found: dict[str, Any] = said["result"]
        return found

    def differences(self, verb: str = "quick", **changed: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.result(verb, **changed)["differences"]
        return found


def flip(path: Path, *, silently: bool = False) -> None:
    """Change one bit of a file; silently: as a disk does, with no time of the file changed that we compare."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as f:
        f.write(data)
    if silently:
        os.utime(path)
