"""The two scripts that handle a build, without a cluster: what is packed, and what must never be put in force."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.roles import tiny

FILES = Path(__file__).parents[2] / "roles/openmpi/files"


def build(work: Path, *words: str, version: str = "4.1.99", configure: str = "", ucx_configure: str = "") -> str:
    """Run build.sh over tiny sources; return the step it ended in."""
    (work / "in").mkdir(parents=True, exist_ok=True)
    Path(tiny.ucx(work, ucx_configure)[0]).rename(work / "in/ucx.tar")
    Path(tiny.openmpi(work, version, configure)[0]).rename(work / "in/openmpi.tar")
    (work / "recipe.json").write_text("{}")
    for name in ("ucx.flags", "openmpi.flags"):
        if not (work / name).exists():
            (work / name).write_text("")
    done = subprocess.run(
        ["sh", FILES / "build.sh", work, "/opt/tiny", "1", *(words or ("", ""))],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    step = (work / "step").read_text().strip()
    assert (done.returncode == 0) == (step == "done"), (work / "build.log").read_text()[-2000:]
    return step


def packed(work: Path) -> dict[str, str]:
    """Return the packed build's text files."""
    with tarfile.open(work / "out.tar.gz") as held:
        return {
            entry.name.removeprefix("./"): held.extractfile(entry).read().decode(errors="replace")
            for entry in held.getmembers() if entry.isfile()
        }  # fmt: skip


def toolkit(folder: Path) -> str:
    (folder / "cuda/lib64").mkdir(parents=True)
    (folder / "cuda/lib64/libcudart.so.12").write_text("runtime")
    return str(folder / "cuda")


def test_ucx_is_built_first_and_open_mpi_with_it(tmp_path):
    assert build(tmp_path / "w") == "done"
    held = packed(tmp_path / "w")
    assert "--prefix=/opt/tiny" in held["ucx.words"].splitlines()
    assert f"--with-ucx={tmp_path}/w/root/opt/tiny" in held["openmpi.words"].splitlines()
    assert "--without-cuda" in held["ucx.words"].splitlines()
    assert not [word for word in held["openmpi.words"].splitlines() if word.startswith("--with-cuda")]
    assert (tmp_path / "w/out.sha256").read_text().strip() == hashlib.sha256(
        (tmp_path / "w/out.tar.gz").read_bytes()
    ).hexdigest()


def test_libtool_s_archives_which_name_a_place_that_is_not_there_are_left_out(tmp_path):
    build(tmp_path / "w")
    assert [name for name in packed(tmp_path / "w") if name.endswith(".la")] == []


def test_with_cuda_the_toolkit_s_run_time_library_goes_along_and_no_stub_does(tmp_path):
    cuda = toolkit(tmp_path)
    (Path(cuda) / "lib64/stubs").mkdir()
    (Path(cuda) / "lib64/stubs/libcuda.so").write_text("stub")
    assert build(tmp_path / "w", cuda, f"{cuda}/lib64/stubs") == "done"
    held = packed(tmp_path / "w")
    assert held["lib/libcudart.so.12"] == "runtime"
    assert [name for name in held if "libcuda.so" in name] == []
    for words in ("ucx.words", "openmpi.words"):
        assert f"--with-cuda={cuda}" in held[words].splitlines()


@pytest.mark.parametrize(
    ("version", "there", "absent"),
    [
        ("4.1.99", "--enable-mpirun-prefix-by-default", "--with-cuda-libdir"),
        ("5.0.99", "--enable-prte-prefix-by-default", "--enable-mpirun-prefix-by-default"),
    ],
)
def test_each_major_version_is_spoken_to_in_its_own_words(tmp_path, version, there, absent):
    cuda = toolkit(tmp_path)
    build(tmp_path / "w", cuda, "/stubs", version=version)
    words = packed(tmp_path / "w")["openmpi.words"]
    assert there in words
    assert absent not in words
    assert ("--with-cuda-libdir=/stubs" in words) == version.startswith("5")


def test_words_for_configure_stay_words_whatever_they_hold(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/openmpi.flags").write_text("CFLAGS=-O2 -g\n--with-x=$(reboot); 'y\n\n")
    build(tmp_path / "w")
    words = packed(tmp_path / "w")["openmpi.words"].splitlines()
    assert words[-2:] == ["CFLAGS=-O2 -g", "--with-x=$(reboot); 'y"]


def test_a_build_that_fails_says_in_which_step_and_packs_nothing(tmp_path):
    assert build(tmp_path / "a", ucx_configure="echo no compiler; exit 7") == "configure of UCX"
    assert "no compiler" in (tmp_path / "a/build.log").read_text()
    assert build(tmp_path / "b", configure="exit 1") == "configure of Open MPI"
    assert not list(tmp_path.glob("*/out.*"))


def test_a_build_that_was_to_have_cuda_and_has_not_is_not_packed(tmp_path):
    cuda = toolkit(tmp_path)
    assert build(tmp_path / "w", cuda, "", configure="sed -i /--with-cuda/d words") == "proof"
    assert not (tmp_path / "w/out.tar.gz").exists()


def test_what_it_was_built_from_is_told_in_it(tmp_path):
    build(tmp_path / "w")
    held = packed(tmp_path / "w")
    assert json.loads(held["share/ddl-openmpi/recipe.json"]) == {}
    assert "ompi:version:full:4.1.99" in held["share/ddl-openmpi/ompi_info"]


# ---- what is unpacked


class Store:
    """A directory of builds, and a packed one."""

    def __init__(
        self, folder: Path, info: str = "ompi:version:full:4.1.99", *, start: int = 0, cuda: str = "true"
    ) -> None:
        self.path = folder / "builds"
        self.path.mkdir()
        line = f"mca:mpi:base:param:mpi_built_with_cuda_support:value:{cuda}"
        self.packed = folder / "packed"
        script = f"#!/bin/sh\necho '{info}'; echo '{line}'; exit {start}\n"
        path, self.sum = tiny.tarball(
            folder / "x.tar.gz", "top", **{"bin/mpirun": "#!/bin/sh\n", "bin/ompi_info": script}
        )
        Path(path).rename(self.packed)

    def unpack(
        self, sum_: str = "", cuda: str = "", force: str = "", below: str = ""
    ) -> subprocess.CompletedProcess[str]:
        words = [self.packed, sum_ or self.sum, self.path, "new", below, cuda, force, "1"]
        return subprocess.run(
            ["sh", FILES / "unpack.sh", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
        )

    def holds(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


def test_a_whole_build_is_unpacked_and_says_its_version(tmp_path):
    store = Store(tmp_path)
    done = store.unpack(cuda="cuda")
    assert (done.returncode, done.stdout, store.holds()) == (0, "version 4.1.99\n", ["new"])
    assert not store.packed.exists()


@pytest.mark.parametrize(
    ("store", "how", "says"),
    [
        ({}, {"sum_": "0" * 64}, "its SHA-256 differs"),
        ({"cuda": "false"}, {"cuda": "cuda"}, "this build says mpi_built_with_cuda_support:value:false"),
        ({"start": 127}, {}, "does not start here"),
        ({}, {"below": "/ompi"}, "holds no /ompi/bin/mpirun"),
    ],
)
def test_a_build_that_must_not_be_put_in_force_leaves_the_former_one_alone(tmp_path, store, how, says):
    it = Store(tmp_path, **store)
    (it.path / "former").mkdir()
    done = it.unpack(force="former", **how)
    assert (done.returncode, it.holds()) == (1, ["former"])
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_archive_that_is_cut_short_is_refused(tmp_path):
    store = Store(tmp_path)
    store.packed.write_bytes(store.packed.read_bytes()[:60])
    done = store.unpack(hashlib.sha256(store.packed.read_bytes()).hexdigest())
    assert (done.returncode, store.holds()) == (1, [])
    assert "could not be unpacked" in done.stderr


def test_the_build_in_force_is_kept_and_older_ones_are_not(tmp_path):
    store = Store(tmp_path)
    for name in ("older", "former", "new.part"):
        (store.path / name).mkdir()
    assert store.unpack(force="former").returncode == 0
    assert store.holds() == ["former", "new"]
