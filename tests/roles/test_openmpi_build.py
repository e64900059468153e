"""A real build: UCX and Open MPI 4.1 from Debian's source packages, CUDA-aware, on one node, in force on all.

The packed build is kept below /var/cache/ddlcheck/builds, where the role finds it again: only a changed recipe (sources,
flags, toolkit, script, distribution) is built again. There is no GPU and no driver here, so what is proven is what
ompi_info and UCX say of themselves, and that such a build still runs on nodes without a driver.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ddlcheck.lab.host import CACHE
from tests.roles import sources

pytestmark = [pytest.mark.lab, pytest.mark.long]
ROOT = Path(__file__).parents[2]
PREFIX = "/opt/openmpi"
#: What the proof needs no Fortran, no manual and no second implementation of MPI-IO for: minutes on two cores.
CONFIGURE = (
    "--disable-mpi-fortran", "--disable-oshmem", "--disable-man-pages", "--disable-io-romio", "--disable-mpi-cxx",
    "--with-hwloc=internal", "--with-libevent=internal", "CFLAGS=-O1 -DNDEBUG",
)  # fmt: skip


class Built:
    """The ready cluster with the real build in force."""

    def __init__(self, lab: Any, play: Callable[..., Any], inventory: Path) -> None:
        self.lab, self.play, self.inventory = lab, play, inventory
        self.nodes = lab.nodes

    def user(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a login shell of the job user."""
        done: subprocess.CompletedProcess[str] = self.lab.node(name).run(
            ["su", "-l", "-c", command, "ddl"], timeout=180
        )
        return done

    def on(self, name: str, script: str) -> str:
        """Run a script as root."""
        done = self.lab.node(name).run(["sh", "-c", script], timeout=120)
        return str(done.stdout + done.stderr).strip()

    def check(self, folder: Path) -> list[dict[str, Any]]:
        """Judge the promise as a user does; return the verdicts."""
        report = folder / "report.json"
        done = subprocess.run(
            [sys.executable, "-m", "ddlcheck", "cluster", str(self.inventory), "--only", "openmpi", "--json", str(report)],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert report.exists(), done.stderr
        found: list[dict[str, Any]] = json.loads(report.read_text())["verdicts"]
        return found


@pytest.fixture(scope="module")
def built(ready: Any, play: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Build, or take the kept build, and put it in force; the distribution's package again at the end."""
    found, toolkit = sources.tarballs(), sources.toolkit()
    home = f"/opt/{toolkit.name}"
    first = ready.nodes[0]
    subprocess.run(["cp", "-a", toolkit, f"{first.root}{home}"], check=True)
    declared: dict[str, Any] = {
        "openmpi_method": "source", "openmpi_prefix": PREFIX, "openmpi_cuda": True, "openmpi_cuda_home": home,
        "openmpi_source": str(found["openmpi"][0]), "openmpi_source_sha256": found["openmpi"][1],
        "openmpi_ucx_source": str(found["ucx"][0]), "openmpi_ucx_source_sha256": found["ucx"][1],
        "openmpi_configure": list(CONFIGURE), "openmpi_cache": str(CACHE / "builds"), "openmpi_build_host": first.name,
    }  # fmt: skip
    # An inventory of two: the lab's, and what is declared of the build.
    inventory = tmp_path_factory.mktemp("built") / "inventory"
    subprocess.run(["cp", "-r", ready.inventory, inventory], check=True)
    with (inventory / "group_vars/all.yml").open("a") as out:
        out.writelines(f"{name}: {json.dumps(value)}\n" for name, value in declared.items())
    begun = time.monotonic()
    try:
        run = play(inventory, "--tags", "openmpi", timeout=7200)
        sys.stderr.write(f"in force after {time.monotonic() - begun:.0f} s\n")
        assert run.status == 0, run.said[-6000:]
        yield Built(ready, play, inventory)
    finally:
        play(ready.inventory, "--tags", "openmpi")
        for node in ready.nodes:
            node.run(["sh", "-c", f"rm -rf {PREFIX} {PREFIX}.builds {home}"])


def test_ompi_info_says_built_with_cuda_on_every_node(built: Built) -> None:
    for node in built.nodes:
        said = built.user(node.name, "ompi_info --parsable --all").stdout
        assert "mca:mpi:base:param:mpi_built_with_cuda_support:value:true" in said
        assert "mca:opal:base:param:opal_cuda_support:value:true" in said


def test_ucx_lists_its_cuda_modules_and_they_lack_nothing_but_the_driver(built: Built) -> None:
    for node in built.nodes:
        assert ":cuda:" in built.on(node.name, f"{PREFIX}/bin/ucx_info -b | grep '^#define uct_MODULES'").replace(
            '"', ":"
        )
        assert "--with-cuda=" in built.on(node.name, f"{PREFIX}/bin/ucx_info -v")
        lacks = built.on(node.name, f"ldd {PREFIX}/lib/ucx/libuct_cuda.so | sed -n 's/ => not found//p'").split()
        assert sorted(lacks) == ["libcuda.so.1", "libnvidia-ml.so.1"]


def test_a_second_run_builds_nothing_and_changes_nothing(built: Built) -> None:
    run = built.play(built.inventory, "--tags", "openmpi")
    assert (run.status, set(run.changed.values())) == (0, {0}), run.said[-3000:]


def test_ranks_start_on_every_node_from_every_way_in(built: Built) -> None:
    hosts = ",".join(node.fabric_name for node in built.nodes)
    done = built.user(
        "minsky2", f"mpirun --host {hosts} -n {len(built.nodes)} --mca opal_warn_on_missing_libcuda 0 uname -n"
    )
    assert sorted(done.stdout.split()) == sorted(node.fabric_name for node in built.nodes), done.stderr


def test_a_program_is_told_at_run_time_that_it_may_pass_gpu_memory(built: Built) -> None:
    program = r"""
#include <stdio.h>
#include <mpi.h>
#include <mpi-ext.h>
int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  printf("%d %d\n", MPIX_CUDA_AWARE_SUPPORT, MPIX_Query_cuda_support());
  return MPI_Finalize();
}
"""
    built.lab.node("minsky3").run(["tee", "/tmp/aware.c"], input=program)
    done = built.user(
        "minsky3", "mpicc -o /tmp/aware /tmp/aware.c && mpirun -n 1 --mca opal_warn_on_missing_libcuda 0 /tmp/aware"
    )
    # Without a run path of its own, and without LD_LIBRARY_PATH: what ldconfig was told is enough.
    assert done.stdout.split() == ["1", "1"], done.stderr
    assert f"libmpi.so.40 => {PREFIX}/lib/libmpi.so.40" in built.on(
        "minsky3", "ldconfig -r / -v 2>/dev/null; ldd /tmp/aware"
    )


def test_the_check_says_that_only_the_driver_was_not_seen(built: Built, tmp_path: Path) -> None:
    verdicts = built.check(tmp_path)
    assert {v["status"] for v in verdicts} == {"WARN"}, verdicts
    assert {v["evidence"]["level"] for v in verdicts} == {"driver"}
    assert all(v["evidence"]["cuda"]["built"] == ["true"] for v in verdicts)


#: What is done to one node, what undoes it, the level, and words of the cause.
HURTS = {
    "switched off": (
        f"echo 'opal_cuda_support = 0' >> {PREFIX}/etc/openmpi-mca-params.conf",
        f"sed -i '$d' {PREFIX}/etc/openmpi-mca-params.conf", "enabled", "opal_cuda_support is false",
    ),
    "UCX without its module": (
        f"mkdir {PREFIX}/aside; mv {PREFIX}/lib/ucx/libuct_cuda.so* {PREFIX}/aside/",
        f"mv {PREFIX}/aside/* {PREFIX}/lib/ucx/; rmdir {PREFIX}/aside", "ucx", "has no libuct_cuda.so",
    ),
    "no CUDA runtime": (
        f"mv {PREFIX}/lib/libcudart.so.12 {PREFIX}/lib/aside", f"mv {PREFIX}/lib/aside {PREFIX}/lib/libcudart.so.12",
        "ucx", "there is no libcudart.so.12",
    ),
    "transports without cuda": (
        f"mkdir -p {PREFIX}/etc/ucx; echo UCX_TLS=rc,sm,self > {PREFIX}/etc/ucx/ucx.conf", f"rm -r {PREFIX}/etc/ucx",
        "transports", "ucx.conf says UCX_TLS=rc,sm,self",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HURTS)
def test_the_check_names_the_level_at_which_it_breaks(built: Built, tmp_path: Path, name: str) -> None:
    hurt, heal, level, says = HURTS[name]
    built.on("minsky3", hurt)
    try:
        (verdict,) = [v for v in built.check(tmp_path) if "minsky3" in v["nodes"]]
    finally:
        built.on("minsky3", heal)
    assert (verdict["status"], verdict["evidence"]["level"], verdict["remedy"]) == ("FAIL", level, "openmpi")
    assert says in verdict["cause"]
