"""The fabric's rank programs, built for the virtual machines before they boot."""

from __future__ import annotations

from pathlib import Path

from ddlcheck.errors import DdlcheckError
from ddlcheck.fabric import launch
from ddlcheck.lab.host import PATH, run
from tests.vm.image import OPENMPI5, Image


def rank_programs(image: Image, work: Path) -> dict[str, bytes]:
    """Return the fabric's rank programs as the job's user has them in his cache after a first run, by their paths.

    Built by the script that builds them on the nodes, with the nodes' compilers, in the nodes' file system; but on
    this machine's processor, which is done in a second: an emulated one takes twenty.
    """
    for name in ("upper", "work", "root"):
        (work / name).mkdir(parents=True)
    root = work / "root"
    layers = f"lowerdir={image.tree},upperdir={work / 'upper'},workdir={work / 'work'}"
    build = [str(launch.text("build.sh")), "ddlcheck-rank", str(launch.source())]
    job = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", "env", "-i", "HOME=/home/ddl"]
    # Open MPI 5 finds its own files by /proc/self/exe.
    enter = (
        f'mount -t overlay overlay -o {layers} "$0" && mount --bind /dev "$0/dev" && mount --bind /proc "$0/proc" '
        '&& exec chroot "$0" "$@"'
    )
    for mpicc in ("/usr/bin/mpicc", f"{OPENMPI5}/bin/mpicc"):
        words = ["unshare", "--mount", "sh", "-c", enter, root, *job, f"PATH={PATH}", "sh", "-c", *build, mpicc]
        try:
            said = run(words, timeout=120)
        except DdlcheckError as failed:  # whose sentence holds the whole source
            said = str(failed)[-500:]
        if '"t":"built"' not in said:
            raise DdlcheckError(f"the rank program cannot be built with {mpicc}: {said}")
    cache = Path("home/ddl/.cache/ddlcheck")
    return {str(cache / path.name): path.read_bytes() for path in (work / "upper" / cache).glob("rank-*")}
