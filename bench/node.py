"""The gate on one node: twelve checks, next to LBNL NHC's same twelve, on this machine in the same run.

    DDLCHECK_NHC=/path/to/nhc python bench/node.py [--rounds 15] [--sleepers 2000] [--mounts 1000] [--cores 128]
                         [--busy 500]

Both look at: a mount and its options, its free space, its use, its free inodes, free space elsewhere, processors,
memory, free memory, an interface, a service, a file's mode and owner, the limit of locked memory. Rounds are
interleaved, and the ratio is taken round by round, because machines are noisy. Then once more with more processes,
with more mounts, with two sockets of ``--cores`` cores each, and with a cluster of 1,000 nodes in the intent file.
The cores are of paper: /proc/cpuinfo and /sys/devices/system/cpu are bound over by files that say so, and both
programs read them. That is in NHC's favour: bash reads line by line and seeks, which costs nothing in a file, whereas
the kernel writes /proc/cpuinfo anew for each seek. ``--busy N`` starts N gates at once, as a busy
prolog does, and says how they answered.

NHC is not part of this tree: ``DDLCHECK_NHC`` names its script (its checks in ``scripts/`` beside it, or in
/etc/nhc/scripts). Without it only the gate is measured, and that is said. Needs root: it makes a control group that
stands for a service, mounts (in a mount name space of its own), and a process for NHC to find.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from ddlcheck import checks
from ddlcheck.declared import defaults
from ddlcheck.gates import payload, promised
from ddlcheck.intent import Intent
from ddlcheck.probes import quick

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PYTHON = "/usr/bin/python3"
SERVICE = "ddlbench"
INTERFACE = next((p.name for p in sorted(pathlib.Path("/sys/class/net").glob("e*"))), "lo")
NHC_CHECKS = """\
* || check_fs_mount_rw -f /
* || check_fs_free / 1%
* || check_fs_used / 99%
* || check_fs_ifree / 1
* || check_fs_free /tmp 1kB
* || check_hw_cpuinfo {sockets} {cores} {threads}
* || check_hw_physmem 1MB 100TB
* || check_hw_physmem_free 1kB
* || check_hw_eth {interface}
* || check_ps_service -u root {service}
* || check_file_stat -m 0644 -u 0 /etc/passwd
* || check_cmd_output -m '/./' bash -c 'ulimit -l'
"""


def declared() -> dict[str, object]:
    """Return the same twelve as declared values."""
    count = quick.processors()
    return {
        **defaults(), "memlock_limit": "1", "memlock_daemons": [], "ssh_mesh_user": "",
        **{f"resources_{name}": count[name] for name in ("sockets", "cores", "threads")},
        "resources_memory_min": 1024, "resources_memory_max": 10**11, "resources_memory_free_min": 1,
        "resources_filesystems": [
            {"path": "/", "options": ["rw"], "free_min": "1%", "used_max": "99%", "inodes_free_min": 1},
            {"path": "/tmp", "free_min": 1},
        ],
        "resources_interfaces": [INTERFACE], "resources_services": [SERVICE],
        "resources_files": [{"path": "/etc/passwd", "mode": "0644", "uid": 0}],
    }  # fmt: skip


def intent(folder: pathlib.Path, nodes: int = 1) -> pathlib.Path:
    """Write an intent file of a cluster of so many nodes; return its path."""
    host, mine = socket.gethostname(), declared()
    others = {f"n{i}": {**mine, "hosts_file_address": f"10.0.{i // 256}.{i % 256}"} for i in range(1, nodes)}
    found = Intent(host, mine, {host: mine, **others})
    path = folder / f"intent{nodes}-{mine['resources_threads']}.json"
    path.write_bytes(promised.make(found, checks.load(["memlock", "resources"]), int(time.time())))
    path.chmod(0o644)
    return path


def install(folder: pathlib.Path) -> pathlib.Path:
    """Put the gate there as the role does: its modules, compiled, and the launcher."""
    for name, content in payload.modules().items():
        path = folder / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    subprocess.run([PYTHON, "-m", "compileall", "-q", str(folder / "lib")], check=True)
    launcher = folder / "ddlcheck-node"
    launcher.write_text(payload.launcher("x").replace(f"{payload.LIBRARY}/x", str(folder / "lib")))
    launcher.chmod(0o755)
    return launcher


@contextlib.contextmanager
def service(folder: pathlib.Path) -> Iterator[None]:
    """Run a process called like a service in a control group like a service's."""
    program = folder / SERVICE
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([str(program), "100000"])
    root = next(pathlib.Path(r) for r in reversed(quick.UNIT_GROUPS) if pathlib.Path(r, "cgroup.procs").exists())
    slice_, group = root / "system.slice", root / "system.slice" / f"{SERVICE}.service"
    made = not slice_.exists()
    try:
        group.mkdir(parents=True)
        (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        process.kill()
        process.wait()
        time.sleep(0.2)
        for path in (group, *([slice_] if made else [])):
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def processors(folder: pathlib.Path, cores: int) -> Iterator[int]:
    """Have this machine say that it has two sockets of so many cores, two threads each; yield its cpuinfo's lines."""
    count = 4 * cores
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", maxsplit=1)[0].splitlines()
    text, cpus = [], folder / "cpus"
    for number in range(count):
        # As Linux numbers them: the second threads come after all of the first ones.
        socket_, core = number // cores % 2, number % cores
        said = {"processor": number, "physical id": socket_, "core id": core, "cpu cores": cores, "siblings": 2 * cores}
        for line in lines:
            name = line.partition(":")[0].strip()
            text.append(f"{name}\t: {said[name]}" if name in said else line)
        text.append("")
        place = cpus / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        first, twin = socket_ * cores, (socket_ + 2) * cores
        package = f"{first}-{first + cores - 1},{twin}-{twin + cores - 1}\n"
        pair = f"{first + core},{twin + core}\n"
        for name, value in (("package_cpus_list", package), ("core_cpus_list", pair)):
            (place / name).write_text(value)
    (cpus / "online").write_text(f"0-{count - 1}\n")
    (folder / "cpuinfo").write_text("\n".join(text) + "\n")
    bound = ((folder / "cpuinfo", "/proc/cpuinfo"), (cpus, quick.CPUS))
    for mine, its in bound:
        subprocess.run(["mount", "--bind", str(mine), its], check=True)
    try:
        if quick.processors() != {"sockets": 2, "cores": 2 * cores, "threads": count}:
            sys.exit(f"bench/node.py: {quick.processors()} is not what was made")
        yield len(text)
    finally:
        for _, its in bound:
            subprocess.run(["umount", its], check=True)


@contextlib.contextmanager
def sleepers(count: int) -> Iterator[None]:
    """Let so many processes sleep."""
    started = [os.posix_spawn("/bin/sleep", ["sleep", "100000"], {}) for _ in range(count)]
    try:
        yield
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
        for pid in started:
            os.waitpid(pid, 0)


def wall(command: Sequence[str]) -> float:
    """Return the milliseconds that a command takes; it has to succeed."""
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], list(command), {"PATH": os.environ["PATH"]}, file_actions=QUIET)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = (time.perf_counter() - began) * 1000
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}: run it by hand")
    return took


QUIET = ((os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0))


def measure(what: str, commands: Mapping[str, Sequence[str]], rounds: int) -> None:
    """Time commands in interleaved rounds; print medians, and ratios round by round."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            took[name].append(wall(command))
    medians = {name: statistics.median(times) for name, times in took.items()}
    ratio = ""
    if "NHC" in took:
        ratio = f"{statistics.median(g / n for g, n in zip(took['gate'], took['NHC'], strict=True)):8.3f}"
    print(f"{what:40}" + "".join(f"{medians[name]:9.1f}" for name in took) + ratio)


def busy(launcher: pathlib.Path, path: pathlib.Path, count: int) -> None:
    """Start so many gates at once; print how long they took and what they said."""
    words = [str(launcher), "--intent", str(path), "--status", "", "--timeout", "300"]
    began, started = time.perf_counter(), {}
    for _ in range(count):
        started[os.posix_spawn(words[0], words, {"PATH": os.environ["PATH"]}, file_actions=QUIET)] = time.perf_counter()
    took, codes = [], {}
    for _ in range(count):
        pid, status = os.wait()
        took.append((time.perf_counter() - started[pid]) * 1000)
        code = os.waitstatus_to_exitcode(status)
        codes[code] = codes.get(code, 0) + 1
    took.sort()
    whole = time.perf_counter() - began
    p50, p99 = (took[math.ceil(len(took) * share) - 1] for share in (0.5, 0.99))
    print(f"{count} gates at once on {os.cpu_count()} cores: all within {whole:.1f} s, median {p50:.0f} ms,",
          f"p99 {p99:.0f} ms, exit statuses {codes}")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sleepers", type=int, default=2000)
    parser.add_argument("--mounts", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=128)
    parser.add_argument("--busy", type=int, default=0)
    args = parser.parse_args()
    if os.geteuid():
        sys.exit("bench/node.py: root is needed, for a control group and for mounts")
    if "DDLCHECK_BENCH_APART" not in os.environ:  # mounts that nobody else sees, and that end with us
        os.environ["DDLCHECK_BENCH_APART"] = "yes"
        os.execvp("/usr/bin/unshare", ["unshare", "--mount", sys.executable, *sys.argv])  # noqa: S606 - ourselves
    nhc = os.environ.get("DDLCHECK_NHC", "")
    with tempfile.TemporaryDirectory(prefix="ddlcheck-bench-") as made, contextlib.ExitStack() as stack:
        folder = pathlib.Path(made)
        folder.chmod(0o755)
        launcher, path = install(folder), intent(folder)
        stack.enter_context(service(folder))
        if args.busy:
            busy(launcher, path, args.busy)
            return
        gate = [str(launcher), "--status", str(folder / "run" / "status.json"), "--intent"]
        commands = {"python": [PYTHON, "-I", "-S", "-c", "pass"], "gate": [*gate, str(path)]}
        if nhc:
            commands["NHC"] = nhc_command(pathlib.Path(nhc), folder)
        else:
            print("DDLCHECK_NHC names no NHC: the gate is measured alone")
        print(
            f"{args.rounds} rounds, medians in ms{'':15}"
            + "".join(f"{name:>9}" for name in commands)
            + ("   gate/NHC" if nhc else "")
        )
        measure("as it is", commands, args.rounds)
        with sleepers(args.sleepers):
            measure(f"{args.sleepers} more processes", commands, args.rounds)
        for number in range(args.mounts):
            (folder / "m" / str(number)).mkdir(parents=True)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(folder / "m" / str(number))], check=True
            )
        try:
            measure(f"{args.mounts} more mounts", commands, args.rounds)
        finally:
            for number in range(args.mounts):
                subprocess.run(["umount", str(folder / "m" / str(number))], check=True)
        with processors(folder, args.cores) as lines:
            many = {**commands, "gate": [*gate, str(intent(folder))]}
            if nhc:
                many["NHC"] = nhc_command(pathlib.Path(nhc), folder, "many.conf")
            measure(f"2 x {args.cores} cores ({lines} lines of cpuinfo)", many, args.rounds)
        large = intent(folder, 1000)
        what = f"1,000 nodes in the intent ({large.stat().st_size >> 10} KiB)"
        measure(what, {**commands, "gate": [*gate, str(large)]}, args.rounds)


def nhc_command(nhc: pathlib.Path, folder: pathlib.Path, name: str = "nhc.conf") -> list[str]:
    """Return the words that run NHC's same twelve, and mark no node."""
    conf = folder / name
    conf.write_text(NHC_CHECKS.format(interface=INTERFACE, service=SERVICE, **quick.processors()))
    scripts = nhc.parent / "scripts"
    own = [f"INCDIR={scripts}", f"HELPERDIR={nhc.parent / 'helpers'}"] if scripts.is_dir() else []
    return [str(nhc), "-c", str(conf), "LOGFILE=/dev/null", "MARK_OFFLINE=0", "NHC_RM=slurm", *own]


if __name__ == "__main__":
    main()
