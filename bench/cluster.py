"""`ddlcheck cluster` against many ssh hosts on the loopback range, next to clush and pytest-testinfra, in one run.

    python bench/cluster.py [--hosts 256] [--rounds 3] [--skip fabric,ssh_mesh] [--testinfra 4]

One sshd of its own listens on 127.1.0.0/16, so every address there is a host (all of them this machine).
ClusterShell's clush feeds the same agent with the same wants to the same hosts. Rounds are interleaved, and the
ratio is taken round by round, because machines are noisy. pytest-testinfra makes ten assertions a host.
Needs root (for sshd) and openssh-server. Prints one table; the rows quoted in docs/performance.md are from it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING

from ddlcheck import inventory, run
from ddlcheck.probes import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = pathlib.Path(sys.executable).parent

TESTINFRA = """
def test_ten(host):
    assert host.file("/etc/passwd").exists
    assert host.file("/etc/hosts").is_file
    assert host.file("/etc/passwd").user == "root"
    assert host.file("/etc/passwd").mode == 0o644
    assert host.user("root").uid == 0
    assert host.group("root").gid == 0
    assert host.run("uname -r").rc == 0
    assert host.file("/proc/self/limits").contains("Max locked memory")
    assert host.check_output("hostname")
    assert host.run("ulimit -l").rc == 0
"""


@contextlib.contextmanager
def hosts(folder: pathlib.Path, count: int) -> Iterator[tuple[pathlib.Path, list[str], int]]:
    """Start sshd; yield an inventory of ``count`` addresses that it serves."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    settings = (
        f"AuthorizedKeysFile={folder / 'user.pub'}", "StrictModes=no", "UsePAM=no", "PidFile=none",
        "MaxStartups=2000", "PermitRootLogin=yes", "ListenAddress=127.0.0.1", "UseDNS=no",
    )  # fmt: skip
    addresses = [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(count)]
    options = [word for s in settings if not s.startswith("Listen") for word in ("-o", s)]
    argv = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", str(folder / "host"), "-p", str(port), *options]
    server = subprocess.Popen([*argv, "-o", "ListenAddress=0.0.0.0"], stderr=subprocess.DEVNULL)
    try:
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known").write_text("".join(f"[{a}]:{port} {key}\n" for a in addresses))
        (folder / "inv").write_text(
            "".join(f"{a}\n" for a in addresses)
            + f"[all:vars]\nansible_port={port}\nansible_user={os.environ.get('USER', 'root')}\n"
            f"ansible_ssh_private_key_file={folder / 'user'}\nansible_python_interpreter=/usr/bin/python3\n"
            f"ansible_ssh_common_args=-F none -o UserKnownHostsFile={folder / 'known'} -o IdentitiesOnly=yes "
            "-o KexAlgorithms=curve25519-sha256\n"
        )
        time.sleep(0.5)
        yield folder / "inv", addresses, port
    finally:
        server.terminate()
        server.wait(10)


def timed(argv: list[str], stdin: IO[bytes] | None = None, cwd: pathlib.Path | None = None) -> dict[str, float]:
    """Run a command; return wall and CPU seconds of the process tree, and its largest resident set in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with tempfile.NamedTemporaryFile() as peak:
        meter = ["/usr/bin/time", "-f", "%M", "-o", peak.name]
        done = subprocess.run([*meter, *argv], capture_output=True, check=False, stdin=stdin, cwd=cwd)
        kib = int(pathlib.Path(peak.name).read_text().split()[-1])
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "rss": kib / 1024, "rc": done.returncode, "bytes": len(done.stdout)}


def median(rows: list[dict[str, float]], name: str) -> float:
    """Return the median of one figure."""
    return statistics.median(row[name] for row in rows)


class Bench:
    """The three contenders over one set of hosts."""

    def __init__(self, folder: pathlib.Path, inv: pathlib.Path, addresses: list[str], port: int, skip: str) -> None:
        self.folder, self.addresses, self.port = folder, addresses, port
        found = inventory.load(str(inv))
        name = found.nodes[0].name
        wanted = run.plan(run.select(skip=skip), found.intents, [name])[name]
        self.wanted = {key: want for key, want in wanted.items() if want["op"] not in run.STAGED}
        source = protocol.agent_source()
        request = json.dumps({"wants": self.wanted, "deadline": 60, "nonce": "0" * 16}).encode()
        (folder / "feed").write_bytes(b"%d\n" % len(source) + source + request + b"\n")
        self.out = folder / "out.json"
        self.ours = [str(BIN / "ddlcheck"), "cluster", str(inv), "--skip", skip, "--json", str(self.out)]

    def clush(self) -> dict[str, float]:
        """Feed the same agent with the same wants."""
        options = f"-F none -i {self.folder / 'user'} -p {self.port} -o UserKnownHostsFile={self.folder / 'known'}"
        options += " -o KexAlgorithms=curve25519-sha256"
        # clush closes stdin when it is fed, which would end our agent: a sleep holds it open until the answer is out.
        agent = protocol.command("/usr/bin/python3")
        command = f"exec 3>&1; ( cat; exec sleep 600 ) | ( {agent} >&3; kill 0 )"
        argv = [str(BIN / "clush"), "-q", "-f", "64", "-o", options, "-w", ",".join(self.addresses), command]
        with (self.folder / "feed").open("rb") as feed:
            return timed(argv, stdin=feed)

    def testinfra(self, count: int) -> dict[str, float]:
        """Let pytest-testinfra make ten assertions a host."""
        (self.folder / "test_ten.py").write_text(TESTINFRA)
        config = self.folder / "ssh_config"
        config.write_text(
            f"Host *\n Port {self.port}\n IdentityFile {self.folder / 'user'}\n"
            f" UserKnownHostsFile {self.folder / 'known'}\n"
        )
        urls = ",".join(f"paramiko://{address}" for address in self.addresses[:count])
        words = ["-q", "-p", "no:cacheprovider", f"--ssh-config={config}", f"--hosts={urls}", "test_ten.py"]
        return timed([str(BIN / "python"), "-m", "pytest", *words], cwd=self.folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", default="fabric,ssh_mesh")
    parser.add_argument("--testinfra", type=int, default=4, help="hosts for pytest-testinfra (0: leave it out)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, hosts(pathlib.Path(name), args.hosts) as (inv, addresses, port):
        bench = Bench(pathlib.Path(name), inv, addresses, port, args.skip)
        rows: dict[str, list[dict[str, float]]] = {"one": [], "ddlcheck": [], "clush": []}
        for _ in range(args.rounds):
            rows["one"].append(timed([*bench.ours, "--limit", addresses[0]]))
            rows["ddlcheck"].append(timed(bench.ours))
            rows["clush"].append(bench.clush())
        asked = len(json.loads(bench.out.read_text())["nodes"])
        print(f"{asked} hosts, {len(bench.wanted)} wants, {args.rounds} rounds, {os.cpu_count()} cores; medians")
        for label in ("ddlcheck", "clush"):
            wall, cpu, rss, size = (median(rows[label], figure) for figure in ("wall", "cpu", "rss", "bytes"))
            print(f"{label:9} wall {wall:6.2f} s  cpu {cpu:6.2f} s  peak {rss:4.0f} MiB  output {size:8.0f} B")
        ratio = statistics.median(a["wall"] / b["wall"] for a, b in zip(rows["ddlcheck"], rows["clush"], strict=True))
        per_host = (median(rows["ddlcheck"], "cpu") - median(rows["one"], "cpu")) / max(1, args.hosts - 1) * 1000
        print(f"ddlcheck / clush: wall ratio {ratio:.2f}; controller CPU beyond start-up {per_host:.1f} ms a host")
        if args.testinfra:
            row = bench.testinfra(args.testinfra)
            print(f"testinfra wall {row['wall']:6.2f} s for {args.testinfra} hosts, ten assertions each")


if __name__ == "__main__":
    main()
