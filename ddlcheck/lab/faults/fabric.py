"""What the ranks' messages meet: the fabric interface, firewalls, signals, a node without a compiler or room."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ddlcheck.lab.faults.fault import MPI, Fault, sh

if TYPE_CHECKING:
    from ddlcheck.lab.faults.fault import Act


_UNDROP = sh("nft delete table inet ddlpair 2>/dev/null || :")


def _drop(coming: str, going: str) -> Act:
    """Drop TCP on the fabric but ssh, of what comes in and goes out as the rules say; an empty one drops nothing."""
    lines = ["nft add table inet ddlpair"]
    for hook, way, rule in (("input", "iifname", coming), ("output", "oifname", going)):
        if rule:
            lines += [
                f"nft add chain inet ddlpair {hook} '{{ type filter hook {hook} priority 0; }}'",
                f'nft "add rule inet ddlpair {hook} {way} ib0 {rule} tcp sport != 22 tcp dport != 22 drop"',
            ]
    return sh("\n".join(lines))


def _watch(sign: str) -> Act:
    """Send one rank of the fabric test a signal, once 8 MB have left the node since it came: in the middle of a run."""
    script = """
sent() { read -r bytes < /sys/class/net/ib0/statistics/tx_bytes; }
rank() { for d in /proc/[0-9]*; do read -r c < $d/comm || continue
  case $c in rank-*) echo ${d#/proc/}; return;; esac; done; return 1; }
while sleep 0.05; do
  p=$(rank 2>/dev/null) || { sent; before=$bytes; continue; }
  sent; [ $((bytes - before)) -gt 8000000 ] && kill -SIGNAL $p && exit
done
"""
    # From a file: systemd would expand the script's variables.
    text = shlex.quote(script.replace("SIGNAL", sign))
    return sh(f"printf %s {text} > /run/ddlwatch.sh; systemd-run --quiet --unit=ddlwatch sh /run/ddlwatch.sh")


_UNWATCH = sh("systemctl stop ddlwatch 2>/dev/null || :; systemctl reset-failed ddlwatch 2>/dev/null || :")

FAULTS = (
    Fault(
        "fabric-slow", "the fabric interface sends at a tenth of its speed", "fabric", r"sending direction",
        sh("tc qdisc add dev ib0 root tbf rate 300mbit burst 64kb latency 50ms"),
        sh("tc qdisc del dev ib0 root 2>/dev/null || :"), status="WARN",
    ),
    Fault(
        "fabric-pair", "a firewall lets nothing but ssh pass between two nodes", "fabric", r"do not pass.*firewall",
        _drop("ip saddr $peer_address", "ip daddr $peer_address"), _UNDROP, on="nodes",
    ),
    Fault(
        "fabric-direction", "a firewall lets nothing but ssh pass from one node to another", "fabric",
        r"do not pass.*firewall", _drop("", "ip daddr $peer_address"), _UNDROP, on="nodes",
    ),
    Fault(
        "fabric-mtu", "large packets from a peer are lost", "fabric", r"MTU",
        _drop("ip saddr $peer_address meta length > 1500", ""), _UNDROP, on="nodes",
    ),
    Fault(
        "fabric-compiler", "there is no compiler for MPI programs", "fabric", r"mpicc is missing",
        sh("[ -e /usr/bin/mpicc.lost ] || mv /usr/bin/mpicc /usr/bin/mpicc.lost"),
        sh("[ ! -e /usr/bin/mpicc.lost ] || mv /usr/bin/mpicc.lost /usr/bin/mpicc"), allowed=MPI,
    ),
    Fault(
        "fabric-daemon", "Open MPI's daemon may not be executed", "fabric", r"daemon is there and may not be executed",
        sh("chmod a-x /usr/bin/orted"), sh("chmod a+x /usr/bin/orted"), allowed=MPI,
    ),
    Fault(
        "fabric-noexec", "programs cannot be executed where the job user's cache is", "fabric", r"cannot execute",
        sh("d=$job/.cache/ddlcheck; mkdir -p $d; chown ddl: $job/.cache $d\n"
            "mount -t tmpfs -o noexec,mode=700,uid=$(id -u ddl),gid=$(id -g ddl) tmpfs $d"),
        sh("umount $job/.cache/ddlcheck 2>/dev/null || :"),
    ),
    Fault(
        "fabric-tmp", "there is no room in /tmp", "fabric", r"no room.*/tmp",
        sh("mount -t tmpfs -o size=64k,mode=1777 tmpfs /tmp; dd if=/dev/zero of=/tmp/full bs=4k 2>/dev/null || :"),
        sh("[ ! -e /tmp/full ] || umount -l /tmp"),
    ),
    Fault(
        "fabric-killed", "something kills a rank in the middle of a run", "fabric", r"killed the rank",
        _watch("KILL"), _UNWATCH,
    ),
    Fault(
        "fabric-stopped", "a rank stops in the middle of a run", "fabric", r"hung in the middle",
        _watch("STOP"), _UNWATCH,
    ),
)  # fmt: skip
