"""What a real build of Open MPI is made from here: Debian's source packages, and a CUDA toolkit of PyPI's wheels.

Fetched once, through the package sources and the pip that this machine is set up with, and kept below
/var/cache/ddlcheck. The wheels hold the toolkit's headers and its run-time library. They hold no link stubs, which the
whole toolkit has for build hosts without a driver: those are made from the prototypes in the headers, and are never on
a path where a program would find them when it runs.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ddlcheck.lab import image
from ddlcheck.lab.host import CACHE, locked

WHEELS = ("nvidia-cuda-runtime-cu12==12.9.79", "nvidia-cuda-nvcc-cu12==12.9.86", "nvidia-nvml-dev-cu12==12.9.79")
HEADERS = {"cuda.h": (r"\b(cu[A-Z]\w+)\s*\(", "libcuda.so"), "nvml.h": (r"\b(nvml[A-Z]\w+)\s*\(", "libnvidia-ml.so")}


def run(*argv: str | Path, **how: object) -> str:
    """Run a command of this machine that has to succeed."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=900, check=False, **how)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv[0]}: {done.stderr[-2000:]}"
    return str(done.stdout)


def tarballs() -> dict[str, tuple[Path, str]]:
    """Return the tarballs of UCX and Open MPI that Debian's packages are made from, and their SHA-256."""
    kept = CACHE / "sources" / image.SUITE
    names = ("ucx", "openmpi")
    with locked("lab-sources", wait=True):
        if not all(list(kept.glob(f"{name}_*.orig.tar.*")) for name in names):
            kept.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept) as scratch:
                _download(Path(scratch), kept, names)
    found = {name: max(kept.glob(f"{name}_*.orig.tar.*")) for name in names}
    return {name: (path, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in found.items()}


def _download(scratch: Path, kept: Path, names: tuple[str, ...]) -> None:
    """Let apt fetch and verify source packages, with lists of its own: the host's are not touched."""
    lists = scratch / "sources.list"
    lists.write_text("".join(f"deb-src{line.removeprefix('deb')}\n" for line in image.sources()))
    (scratch / "lists" / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": lists, "Dir::Etc::sourceparts": "-", "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *words, "-qq", "update")
    run("apt-get", *words, "-qq", "source", "--download-only", *names, cwd=scratch)
    for path in scratch.glob("*.orig.tar.*"):
        path.replace(kept / path.name)


def toolkit() -> Path:
    """Return a CUDA toolkit as far as a build of Open MPI needs one: include/, lib64/ and lib64/stubs/."""
    name = "cuda-" + hashlib.sha256("".join([*WHEELS, *map(str, HEADERS.values())]).encode()).hexdigest()[:12]
    kept = CACHE / "sources" / name
    with locked("lab-sources", wait=True):
        if not kept.is_dir():
            part = kept.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            (part / "wheels").mkdir(parents=True)
            run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", part / "wheels", *WHEELS)
            _unpack(part)
            _stubs(part)
            shutil.rmtree(part / "wheels")
            part.rename(kept)
    return kept


def _unpack(part: Path) -> None:
    for wheel in (part / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as held:
            for member in held.namelist():
                found = re.fullmatch(r"nvidia/\w+/(include/.+|lib/libcudart\.so\.\d+)", member)
                if found and not member.endswith("/"):
                    target = part / found[1].replace("lib/", "lib64/", 1)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(held.read(member))
    library = next((part / "lib64").glob("libcudart.so.*"))
    (part / "lib64" / "libcudart.so").symlink_to(library.name)


def _stubs(part: Path) -> None:
    (part / "lib64" / "stubs").mkdir()
    for header, (pattern, library) in HEADERS.items():
        path = part / "include" / header
        text = path.read_text() + run("gcc", "-E", "-P", path)
        empty = "".join(f"void {name}(void) {{}}\n" for name in sorted(set(re.findall(pattern, text))))
        run(
            "gcc",
            "-shared",
            "-fPIC",
            "-x",
            "c",
            "-",
            f"-Wl,-soname,{library}.1",
            "-o",
            part / "lib64/stubs" / library,
            input=empty,
        )
