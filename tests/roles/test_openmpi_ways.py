"""Role openmpi by its methods other than the distribution's package, with tiny sources: recipe, spread, switch, failure.

The real build is `test_openmpi_build.py`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.roles import tiny

pytestmark = pytest.mark.lab
PREFIX = "/opt/tiny"


class Site:
    """The ready cluster, with what a site would declare of a build of its own."""

    def __init__(self, lab: Any, play: Callable[..., Any], folder: Path) -> None:
        self.lab, self.play, self.folder = lab, play, folder
        openmpi, ucx = tiny.openmpi(folder), tiny.ucx(folder)
        self.declared: dict[str, Any] = {
            "openmpi_method": "source", "openmpi_prefix": PREFIX, "openmpi_cache": str(folder / "cache"),
            "openmpi_source": openmpi[0], "openmpi_source_sha256": openmpi[1], "openmpi_build_host": "minsky2",
            "openmpi_ucx_source": ucx[0], "openmpi_ucx_source_sha256": ucx[1],
        }  # fmt: skip

    def apply(self, *words: str, **declared: Any) -> Any:
        """Apply the role with some things declared otherwise."""
        values = {**self.declared, **{f"openmpi_{name}": value for name, value in declared.items()}}
        return self.play(self.lab.inventory, "--tags", "openmpi", "-e", json.dumps(values), *words)

    def on(self, name: str, *argv: str) -> str:
        """Run a command as a node's root; return what it said."""
        done = self.lab.node(name).run(list(argv), timeout=60)
        return str(done.stdout + done.stderr).strip()

    def everywhere(self, *argv: str) -> set[str]:
        """Return what the nodes say, each answer once."""
        return {self.on(node.name, *argv) for node in self.lab.nodes}

    def builds(self) -> list[str]:
        """Return the packed builds that the controller keeps."""
        return sorted(path.name for path in (self.folder / "cache").glob("build-*.tar.gz"))


@pytest.fixture(scope="module")
def site(ready: Any, play: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cluster with a tiny build in force; the distribution's package again at the end."""
    it = Site(ready, play, tmp_path_factory.mktemp("tiny"))
    before = it.everywhere("sh", "-c", "cat /etc/environment; ls /etc/profile.d /etc/sudoers.d /etc/ld.so.conf.d")
    first = it.apply()
    try:
        assert first.status == 0, first.said[-4000:]
        yield it
    finally:
        last = play(ready.inventory, "--tags", "openmpi")
        after = it.everywhere("sh", "-c", "cat /etc/environment; ls /etc/profile.d /etc/sudoers.d /etc/ld.so.conf.d")
        for node in ready.nodes:
            node.run(["sh", "-c", f"rm -rf {PREFIX} {PREFIX}.builds /opt/tinyx /var/cache/ddl-openmpi"])
        assert last.status == 0, last.said[-4000:]
        # What another method wired is gone; a PATH that was not declared before is the usual one now.
        strip = re.compile(r"^PATH=.*\n?", re.MULTILINE)
        assert {strip.sub("", text).strip() for text in after} == {strip.sub("", text).strip() for text in before}
        assert PREFIX not in "".join(after)


def test_what_one_node_built_is_in_force_on_every_node(site: Site) -> None:
    (link,) = site.everywhere("readlink", PREFIX)
    (kept,) = site.builds()
    assert link == f"{PREFIX}.builds/{kept.removeprefix('build-').removesuffix('.tar.gz')}"
    assert site.everywhere(f"{PREFIX}/bin/mpirun") == {"mpirun (Open MPI) 4.1.99"}
    assert len(site.everywhere("sha256sum", f"{PREFIX}/bin/ompi_info")) == 1


def test_the_build_host_is_the_declared_one_and_is_left_tidy(site: Site) -> None:
    said = [site.on(node.name, "sh", "-c", "command -v automake || echo none") for node in site.lab.nodes]
    assert said[1] == "/usr/bin/automake"
    assert site.everywhere("ls", "/var/cache/ddl-openmpi") == {""}


def test_its_parameters_came_with_it_and_what_excluded_ucx_is_gone(site: Site) -> None:
    (text,) = site.everywhere("cat", f"{PREFIX}/etc/openmpi-mca-params.conf")
    assert "btl_tcp_if_include = ib0" in text
    assert "ucx" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def test_every_way_in_finds_it(site: Site) -> None:
    import subprocess

    node = site.lab.nodes[2]
    find = "command -v mpirun"
    over_ssh = subprocess.run(site.lab.ssh(node, find), capture_output=True, text=True, timeout=60, check=False)
    ways = {
        "ssh without a terminal": over_ssh.stdout.strip(),
        "a login shell": site.on(node.name, "su", "-l", "-c", find, "ddl"),
        "a shell that is none": site.on(node.name, "su", "-c", find, "ddl"),
        "sudo": site.on(node.name, "sudo", "-n", "sh", "-c", find),
        "ssh of the job user": site.on(
            node.name, "su", "-l", "-c", f"ssh -o BatchMode=yes {node.fabric_name} {find}", "ddl"
        ),
    }
    assert ways == dict.fromkeys(ways, f"{PREFIX}/bin/mpirun")
    assert f"{PREFIX}/lib" in site.on(node.name, "sh", "-c", "cat /etc/ld.so.conf.d/00-ddl-openmpi.conf")


def test_where_environment_modules_are_there_is_one_to_load(site: Site) -> None:
    site.on("minsky1", "apt-get", "-qq", "install", "-y", "--no-install-recommends", "environment-modules")
    assert site.apply("--limit", "minsky1", build_host="minsky1").status == 0
    load = "module load ddl-openmpi && echo $MPI_HOME $LD_LIBRARY_PATH"
    assert site.on("minsky1", "su", "-l", "-c", load, "ddl").split() == [PREFIX, f"{PREFIX}/lib"]
    site.on("minsky1", "apt-get", "-qq", "purge", "-y", "environment-modules")


def test_a_second_run_builds_nothing_and_changes_nothing(site: Site) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (site.folder / "cache").iterdir()}
    run = site.apply()
    assert (run.status, set(run.changed.values())) == (0, {0}), run.said[-3000:]
    assert {path: path.stat().st_mtime_ns for path in (site.folder / "cache").iterdir()} == kept


def test_a_node_that_lost_it_gets_it_back_without_a_build(site: Site) -> None:
    site.on("minsky3", "rm", "-rf", PREFIX, f"{PREFIX}.builds")
    run = site.apply()
    assert run.status == 0, run.said[-3000:]
    assert [run.changed[node.name] > 0 for node in site.lab.nodes] == [
        node.name == "minsky3" for node in site.lab.nodes
    ]
    assert len(site.everywhere("readlink", PREFIX)) == 1
    assert len(site.builds()) == 1


def test_a_build_that_fails_leaves_the_former_installation(site: Site) -> None:
    before, builds = site.everywhere("readlink", PREFIX), site.builds()
    path, sum_ = tiny.ucx(site.folder, "echo this compiler cannot make executables; exit 77")
    run = site.apply(ucx_source=path, ucx_source_sha256=sum_)
    said = " ".join(run.failed.values())
    assert run.status != 0
    assert "The build on minsky2 ended in the step 'configure of UCX'" in said
    assert "this compiler cannot make executables" in said
    assert (site.everywhere("readlink", PREFIX), site.builds()) == (before, builds)
    assert site.everywhere(f"{PREFIX}/bin/mpirun") == {"mpirun (Open MPI) 4.1.99"}
    assert "cannot make" in site.on(
        "minsky2", "sh", "-c", "cat /var/cache/ddl-openmpi/*/build.log; rm -r /var/cache/ddl-openmpi/*"
    )


def test_a_tarball_that_is_not_the_declared_one_is_not_built(site: Site) -> None:
    run = site.apply(source_sha256="0" * 64)
    assert run.status != 0
    assert "checksum" in " ".join(run.failed.values()).lower(), run.said[-3000:]
    assert len(site.builds()) == 1


def test_a_packed_build_that_was_damaged_on_the_controller_is_not_put_in_force(site: Site) -> None:
    (kept,) = (site.folder / "cache").glob("build-*.tar.gz")
    whole = kept.read_bytes()
    site.on("minsky3", "rm", "-rf", PREFIX)
    try:
        kept.write_bytes(whole[:-1] + b"x")
        run = site.apply("--limit", "minsky3")
        assert "its SHA-256 differs" in run.failed["minsky3"]
        assert site.on("minsky3", "sh", "-c", f"[ -e {PREFIX} ] || echo none") == "none"
    finally:
        kept.write_bytes(whole)
    assert site.apply().status == 0


def test_a_node_with_another_build_of_the_same_version_is_named(site: Site) -> None:
    site.on("minsky3", "sed", "-i", "s/^echo .config:cli: .*/echo 'config:cli: otherwise'/", f"{PREFIX}/bin/ompi_info")
    run = site.apply()
    assert re.search(
        r"Not one Open MPI everywhere: 4\.1\.99 \(.*\) on minsky1.*; 4\.1\.99 \(.*\) on minsky3\.",
        " ".join(run.failed.values()),
    )
    site.on("minsky3", "rm", "-rf", PREFIX, f"{PREFIX}.builds")
    assert site.apply().status == 0


def test_a_changed_recipe_is_built_and_the_former_build_kept_beside_it(site: Site) -> None:
    (former,), kept = site.everywhere("readlink", PREFIX), site.builds()
    path, sum_ = tiny.openmpi(site.folder, "5.0.99")
    run = site.apply(source=path, source_sha256=sum_)
    assert run.status == 0, run.said[-3000:]
    (link,) = site.everywhere("readlink", PREFIX)
    assert link != former
    assert set(next(iter(site.everywhere("ls", f"{PREFIX}.builds"))).split()) == {Path(link).name, Path(former).name}
    assert "prte_if_include = ib0" in site.on("minsky1", "cat", f"{PREFIX}/etc/prte-mca-params.conf")
    back = site.apply()
    assert (back.status, site.everywhere("readlink", PREFIX)) == (0, {former})
    assert len(site.builds()) == len(kept) + 1


def test_a_directory_that_is_not_ours_is_never_hidden(site: Site) -> None:
    site.on("minsky1", "mkdir", "-p", "/opt/tinyx/bin")
    run = site.apply("--limit", "minsky1", prefix="/opt/tinyx", build_host="minsky1")
    assert "/opt/tinyx on minsky1 is a directory that this role did not make" in run.failed["minsky1"]
    assert site.on("minsky1", "ls", "/opt/tinyx") == "bin"
    assert site.on("minsky1", "ls", "/var/cache/ddl-openmpi") == ""  # nothing was built for it


def test_what_is_declared_of_cuda_is_not_taken_from_a_build_without_it(site: Site) -> None:
    run = site.apply(method="existing", cuda=True)
    assert "was built without CUDA" in run.failed["minsky1"]


def test_an_existing_prefix_is_wired_in_and_nothing_written_below_it(site: Site) -> None:
    before = site.everywhere("sh", "-c", f"find {PREFIX}/ -type f -exec sha256sum {{}} + | sort")
    for node in site.lab.nodes:
        site.on(node.name, "rm", "/etc/profile.d/ddl-openmpi.sh")
    run = site.apply(method="existing", mca={"btl_tcp_links": 2})
    # The profile, and the linker's cache.
    assert (run.status, set(run.changed.values())) == (0, {2}), run.said[-3000:]
    assert "should say: btl_tcp_links = 2" in run.said
    assert site.everywhere("sh", "-c", f"find {PREFIX}/ -type f -exec sha256sum {{}} + | sort") == before


def test_what_wins_over_the_declared_parameters_is_named_and_left_alone(site: Site) -> None:
    site.on(
        "minsky2",
        "sh",
        "-c",
        "mkdir -p ~ddl/.openmpi; echo 'btl_tcp_if_include = eth0' > ~ddl/.openmpi/mca-params.conf",
    )
    site.on("minsky2", "sh", "-c", "echo 'export UCX_TLS=tcp' > /etc/profile.d/zz-site.sh")
    try:
        run = site.apply()
        assert "/home/ddl/.openmpi/mca-params.conf says btl_tcp_if_include = eth0" in run.said
        assert "/etc/profile.d/zz-site.sh says UCX_TLS = tcp" in run.said
        assert (run.status, set(run.changed.values())) == (0, {0})
    finally:
        site.on("minsky2", "sh", "-c", "rm -r ~ddl/.openmpi /etc/profile.d/zz-site.sh")


def test_looking_only_says_what_would_be_built_and_builds_nothing(site: Site) -> None:
    before = site.builds()
    run = site.apply("--check", "--diff", configure=["--enable-debug"])
    assert run.status == 0, run.said[-3000:]
    assert "Open MPI would be built on minsky2" in run.said
    assert site.builds() == before


def test_hpc_x_s_archive_is_unpacked_and_sessions_are_told_where(site: Site) -> None:
    files = {
        "ompi/bin/mpirun": '#!/bin/sh\necho "mpirun (Open MPI) 4.1.97"\n',
        "hpcx-init.sh": "",
        "ucx/lib/libucp.so.0": "x",
    }
    files["ompi/bin/ompi_info"] = "#!/bin/sh\necho ompi:version:full:4.1.97\n"
    archive = tiny.tarball(site.folder / "hpcx.tgz", "hpcx-v2-gcc", **files)
    run = site.apply(method="hpcx", prefix=f"{PREFIX}x/ompi", archive=archive[0], archive_sha256="0" * 64)
    assert run.status != 0
    assert "its SHA-256 differs" in " ".join(run.failed.values())
    site.on("minsky1", "rm", "-rf", "/opt/tinyx")
    run = site.apply(method="hpcx", prefix=f"{PREFIX}x/ompi", archive=archive[0], archive_sha256=archive[1])
    assert run.status == 0, run.said[-3000:]
    assert site.everywhere("sudo", "-n", "sh", "-c", "mpirun") == {"mpirun (Open MPI) 4.1.97"}
    assert site.everywhere("su", "-c", "echo $OPAL_PREFIX", "ddl") == {"/opt/tinyx/ompi"}
    assert set(
        site.apply(
            method="hpcx", prefix=f"{PREFIX}x/ompi", archive=archive[0], archive_sha256=archive[1]
        ).changed.values()
    ) == {0}
