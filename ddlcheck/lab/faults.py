"""What goes wrong on real clusters, as faults that can be put into a node of the lab and taken out again.

Each names the promise that it breaks, the words that the verdict's cause must then have, and the other promises
that may fail because of it. ``python -m ddlcheck.lab.faults`` prints docs/faults.md.
"""

from __future__ import annotations

import pathlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ddlcheck.lab.nodes import Node

    Act = Callable[[Node], None]

#: Stands for the promise of faults that keep a node from being asked at all: every promise is unknown then.
EVERY = "every promise"
#: What a node keeps aside while a fault is in it, so that `heal` can put it back.
KEEP = "/var/lib/ddlcheck-faults"

# keep FILE: put a copy aside, once. back FILE: put it back, or remove what was not there; `hurt` is set where that
# changed anything, which it does not after a role has mended the file.
_TOOLS = f"""\
set -eu
keep() {{ mkdir -p "{KEEP}$(dirname "$1")"; [ -e "{KEEP}$1" ] || [ -e "{KEEP}$1.none" ] ||
  if [ -e "$1" ]; then cp -a "$1" "{KEEP}$1"; else : > "{KEEP}$1.none"; fi; }}
back() {{ if [ -e "{KEEP}$1" ]; then
    if cmp -s "{KEEP}$1" "$1"; then rm "{KEEP}$1"; else mv -f "{KEEP}$1" "$1"; hurt=1; fi
  elif [ -e "{KEEP}$1.none" ]; then [ ! -e "$1" ] || {{ rm "$1"; hurt=1; }}; rm "{KEEP}$1.none"; fi; }}
job=/home/ddl
"""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong on one node.

    ``cause`` is a regular expression that the verdict must match; ``remedy`` is the role that mends it, empty
    where only ``heal`` does; ``allowed`` are other promises that may fail as a consequence, also on other nodes.
    """

    name: str
    title: str
    promise: str
    cause: str
    inject: Act
    heal: Act
    remedy: str = ""
    allowed: frozenset[str] = frozenset()
    status: str = "FAIL"
    on: str = "node"  # or "nodes": the verdict names others, too


def _words(script: str, node: Node) -> list[str]:
    peer = node.lab.nodes[node.index % node.lab.size]
    facts = {"me": node.name, "ib": node.fabric_name, "address": node.address, "peer": peer.name,
             "peer_ib": peer.fabric_name, "peer_address": peer.fabric_address,"net": node.fabric_address}  # fmt: skip
    return ["env", *(f"{key}={value}" for key, value in facts.items()), "sh", "-c", _TOOLS + script]


def _run(node: Node, script: str) -> None:
    done = node.run(_words(script, node), timeout=60)
    if done.returncode:
        raise DdlcheckError(f"{node.name}: {(done.stderr or done.stdout).strip()[-300:] or done.returncode}")


def _sh(script: str) -> Act:
    return lambda node: _run(node, script)


def _fuse(mode: str) -> Act:
    """Return a fault: a file system that is hung or stale where the shared one was."""
    program = pathlib.Path(fuse.__file__).read_text(encoding="utf-8")

    def act(node: Node) -> None:
        _run(node, _UNMOUNT)
        done = node.run(["python3", "-", mode, "/srv/shared"], input=program, timeout=30)
        if done.returncode:
            raise DdlcheckError(f"{node.name}: {done.stderr.strip()[-300:]}")

    return act


def _on_both(script: str) -> Act:
    def act(node: Node) -> None:
        for each in (node, node.lab.nodes[node.index % node.lab.size]):
            _run(each, script)

    return act


def _thaw(node: Node) -> None:
    if node.state() == "frozen":
        node.thaw()
        # To chronyd time has jumped: by itself it takes minutes to trust its server again.
        _run(node, "[ ! -e /usr/sbin/chronyd ] || systemctl restart chrony")


def _files(*paths: str, then: str = "") -> Act:
    """Return a cure that puts files back as they were; ``then`` runs only where something was put aside."""
    asked = " ".join(f'"{path}"' for path in paths)
    return _sh(f'hurt=; for f in {asked}; do back "$f"; done; [ -z "$hurt" ] || {{ {then or ":"}; }}')


_HOST_KEYS = ("ed25519_key", "ed25519_key.pub", "ecdsa_key", "ecdsa_key.pub")
_MESH, _MPI = frozenset({"ssh_mesh"}), frozenset({"openmpi"})
_OFF_FABRIC = frozenset({"ssh_mesh", "openmpi"})
_RESTART = "systemctl daemon-reload; systemctl reset-failed ssh 2>/dev/null || :; systemctl restart ssh"
# A running sshd whose soft limit is what Linux gave before 5.16; it may be raised again, by PAM or by a restart.
_LOW = 'prlimit --pid "$(systemctl show -p MainPID --value ssh)" --memlock=65536:'

# What is shared, taken away; and put back where it is not as fstab has it, whatever is there instead.
_UNMOUNT = "umount /srv/shared\n"
_REMOUNT = f"""\
if [ -e {fuse.PID} ]; then
  umount -l /srv/shared 2>/dev/null || :; kill -9 "$(cat {fuse.PID})" 2>/dev/null || :; rm {fuse.PID}
fi
if grep -q ' /srv/shared ' /etc/fstab; then
  mkdir -p /srv/shared
  if ! findmnt -no OPTIONS /srv/shared | grep -q '^rw,nosuid,nodev' || [ -d /srv/shared/.other ]; then
    while mountpoint -q /srv/shared; do umount -l /srv/shared; done
    rm -f /srv/shared/note; mount /srv/shared
  fi
fi
"""
_DIGIT = "$(find -L /data/digits -name '*7.bin' | sort | head -n 1)"


_UNDROP = _sh("nft delete table inet ddlpair 2>/dev/null || :")


def _drop(coming: str, going: str) -> Act:
    """Drop TCP on the fabric but ssh, of what comes in and goes out as the rules say; an empty one drops nothing."""
    lines = ["nft add table inet ddlpair"]
    for hook, way, rule in (("input", "iifname", coming), ("output", "oifname", going)):
        if rule:
            lines += [
                f"nft add chain inet ddlpair {hook} '{{ type filter hook {hook} priority 0; }}'",
                f'nft "add rule inet ddlpair {hook} {way} ib0 {rule} tcp sport != 22 tcp dport != 22 drop"',
            ]
    return _sh("\n".join(lines))


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
    return _sh(f"printf %s {text} > /run/ddlwatch.sh; systemd-run --quiet --unit=ddlwatch sh /run/ddlwatch.sh")


_UNWATCH = _sh("systemctl stop ddlwatch 2>/dev/null || :; systemctl reset-failed ddlwatch 2>/dev/null || :")

# A frozen node comes first, because nothing can be healed in it before it runs again.
_ALL = (
    Fault(
        "node-frozen", "the node hangs", EVERY, r"\(timeout\)",
        lambda node: node.freeze(), _thaw, status="UNKNOWN",
    ),
    Fault(
        "node-python", "there is no Python on the node", EVERY, r"no python",
        _sh("[ -e /usr/bin/python3.lost ] || mv /usr/bin/python3 /usr/bin/python3.lost"),
        _sh("[ ! -e /usr/bin/python3.lost ] || mv /usr/bin/python3.lost /usr/bin/python3"), status="UNKNOWN",
    ),
    Fault(
        "node-sshd", "sshd is stopped", EVERY, r"\(refused\)",
        _sh("systemctl stop ssh"), _sh("systemctl start ssh"), status="UNKNOWN",
    ),
    Fault(
        "node-reinstalled", "the node has new host keys", EVERY, r"\(host key changed\)",
        _sh('for t in ed25519 ecdsa; do f=/etc/ssh/ssh_host_${t}_key; keep $f; keep $f.pub; rm $f $f.pub\n'
            f'ssh-keygen -q -t $t -N "" -f $f; done; {_RESTART}'),
        _files(*(f"/etc/ssh/ssh_host_{key}" for key in _HOST_KEYS), then=_RESTART),
        status="UNKNOWN",
    ),
    Fault(
        "node-account", "the key that lets us in was removed", EVERY, r"\(key refused\)",
        _sh("keep /home/admin/.ssh/authorized_keys; : > /home/admin/.ssh/authorized_keys"),
        _files("/home/admin/.ssh/authorized_keys"), status="UNKNOWN",
    ),
    Fault(
        "memlock-override", "a later file of limits.d has the last word", "memlock", r"zz-site\.conf line 1",
        _sh('keep /etc/security/limits.d/zz-site.conf; echo "* - memlock 64" > /etc/security/limits.d/zz-site.conf'),
        _files("/etc/security/limits.d/zz-site.conf"), "memlock",
    ),
    Fault(
        "memlock-user", "an entry for the job user beats the one for everybody", "memlock",
        r"10-jobs\.conf line 1 \(ddl",
        _sh('keep /etc/security/limits.d/10-jobs.conf; echo "ddl - memlock 64" > /etc/security/limits.d/10-jobs.conf'),
        _files("/etc/security/limits.d/10-jobs.conf"), "memlock",
    ),
    Fault(
        "memlock-unit", "sshd's unit has a low limit", "memlock", r"95-ddl-memlock\.conf limits ssh\.service to 64 KiB",
        _sh(f'f=/etc/systemd/system/ssh.service.d/95-ddl-memlock.conf; keep $f\n'
            f'printf "[Service]\\nLimitMEMLOCK=64K\\n" > $f; {_RESTART}'),
        _files("/etc/systemd/system/ssh.service.d/95-ddl-memlock.conf", then=_RESTART), "memlock",
    ),
    Fault(
        "memlock-daemon", "sshd was started before the limit was raised", "memlock",
        r"ssh\.service runs with a limit older",
        _sh(f"keep /run/old-sshd; : > /run/old-sshd; {_LOW}65536"),
        _files("/run/old-sshd", then=_RESTART), "memlock",
    ),
    Fault(
        "memlock-pam", "sshd's PAM stack does not set limits", "memlock", r"pam_limits is missing .*/etc/pam\.d/sshd",
        _sh(f"keep /etc/pam.d/sshd; sed -i '/pam_limits/s/^/# /' /etc/pam.d/sshd; {_LOW}"),
        _files("/etc/pam.d/sshd", then=_RESTART), "memlock",
    ),
    Fault(
        "memlock-usepam", "sshd does not ask PAM", "memlock", r"/etc/ssh/sshd_config says UsePAM no",
        # Without PAM, sshd takes an account without a password (!) for a locked one.
        _sh("usermod -p '*' admin; usermod -p '*' ddl; keep /etc/ssh/sshd_config\n"
            "rm -f /etc/ssh/sshd_config.d/00-ddl-memlock.conf  # of the role, where it mended this before\n"
            f"sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config; {_RESTART}; {_LOW}"),
        _files("/etc/ssh/sshd_config", then=_RESTART), "memlock",
    ),
    Fault(
        "hostname-renamed", "somebody renamed the node", "hostname", r"was renamed",
        _sh("hostnamectl set-hostname gpu7"), _sh('[ "$(hostname)" != gpu7 ] || hostnamectl set-hostname "$ib"'),
        "hostname",
    ),
    Fault(
        "hostname-static", "the next boot will rename the node", "hostname", r"/etc/hostname holds gpu7",
        _sh("keep /etc/hostname; echo gpu7 > /etc/hostname"), _files("/etc/hostname"), "hostname",
    ),
    Fault(
        "hostname-transient", "DHCP renamed the running node", "hostname", r"transient",
        _sh("hostname gpu7"), _sh('[ "$(hostname)" != gpu7 ] || hostname "$ib"'), "hostname",
    ),
    Fault(
        "hostname-twin", "a copied node kept the name of the original", "hostname", r"answer(s to the name of| to )",
        _sh('hostnamectl set-hostname "$peer_ib"'),
        _sh('[ "$(hostname)" != "$peer_ib" ] || hostnamectl set-hostname "$ib"'),
        "hostname", on="nodes",
    ),
    Fault(
        "hosts-loopback", "the installer's 127.0.1.1 line is back", "hosts_file",
        r"/etc/hosts line 1 gives 127\.0\.1\.1",
        _sh('keep /etc/hosts; sed -i "1i 127.0.1.1 $ib" /etc/hosts'), _files("/etc/hosts"), "hosts_file",
    ),
    Fault(
        "hosts-stale", "a peer has moved, and one node was not told", "hosts_file",
        r"/etc/hosts line \d+ gives 10\.99\.0\.9",
        _sh('keep /etc/hosts; sed -i "s/^[0-9.]* $peer_ib\\$/10.99.0.9 $peer_ib/" /etc/hosts'),
        _files("/etc/hosts"), "hosts_file", _MESH,
    ),
    Fault(
        "hosts-missing", "a peer is missing in /etc/hosts", "hosts_file", r"/etc/hosts has no line for ib\d",
        _sh('keep /etc/hosts; sed -i "/ $peer_ib\\$/d" /etc/hosts'), _files("/etc/hosts"), "hosts_file", _MESH,
    ),
    Fault(
        "hosts-nsswitch", "the resolver does not read /etc/hosts", "hosts_file",
        r"/etc/nsswitch\.conf does not name files",
        _sh("keep /etc/nsswitch.conf; sed -i 's/^hosts:.*/hosts: dns/' /etc/nsswitch.conf"),
        _files("/etc/nsswitch.conf"), "hosts_file", _OFF_FABRIC,
    ),
    Fault(
        "hosts-mode", "only root may read /etc/hosts", "hosts_file", r"/etc/hosts cannot be read by ddl",
        # In place, since its content is nobody's fault.
        _sh("chmod 000 /etc/hosts"), _sh("chmod 644 /etc/hosts"), "hosts_file", _OFF_FABRIC,
    ),
    Fault(
        "mesh-key", "the job user's key is gone", "ssh_mesh", r"no private key",
        _sh("keep $job/.ssh/id_ed25519_ddl; rm -f $job/.ssh/id_ed25519_ddl"),
        _files("$job/.ssh/id_ed25519_ddl"), "ssh_mesh", _MPI,
    ),
    Fault(
        "mesh-authorized", "authorized_keys was emptied", "ssh_mesh", r"authorized_keys is empty",
        _sh("keep $job/.ssh/authorized_keys; : > $job/.ssh/authorized_keys"),
        _files("$job/.ssh/authorized_keys"), "ssh_mesh", _MPI,
    ),
    Fault(
        "mesh-home", "the job user's home is writable by everybody", "ssh_mesh",
        r"/home/ddl is writable by others \(777\)",
        _sh("chmod 777 $job"), _sh("chmod go-w $job"), "ssh_mesh", _MPI,
    ),
    Fault(
        "mesh-known", "a peer was reinstalled, and one node has its old host keys", "ssh_mesh",
        r"other host keys .*known_hosts",
        _sh('f=/etc/ssh/ssh_known_hosts; keep $f; rm -f /tmp/other /tmp/other.pub\n'
            'for t in ed25519 ecdsa; do ssh-keygen -q -t $t -N "" -f /tmp/other; set -- $(cat /tmp/other.pub)\n'
            'sed -i -E "/$peer_ib/s#$1 [^ ]*#$1 $2#" $f; rm -f /tmp/other /tmp/other.pub; done'),
        _files("/etc/ssh/ssh_known_hosts"), "ssh_mesh",
    ),
    Fault(
        "mesh-unknown", "known_hosts is gone", "ssh_mesh", r"no host key of theirs in known_hosts",
        _sh("keep /etc/ssh/ssh_known_hosts; : > /etc/ssh/ssh_known_hosts"),
        _files("/etc/ssh/ssh_known_hosts"), "ssh_mesh", _MPI,
    ),
    Fault(
        "mesh-reset", "ssh on the fabric is reset before it begins, as a ban or MaxStartups does", "ssh_mesh",
        r"closes before the key exchange",
        _sh("nft add table inet ddlreset; nft add chain inet ddlreset in '{ type filter hook input priority 0; }'\n"
            "nft add rule inet ddlreset in iifname ib0 tcp dport 22 'tcp flags & psh == psh' reject with tcp reset"),
        _sh("nft delete table inet ddlreset 2>/dev/null || :"),
    ),
    Fault(
        "mesh-noisy", "the job user's .bashrc prints", "ssh_mesh", r"prints before any command",
        _sh("keep $job/.bashrc; sed -i '1i echo Welcome' $job/.bashrc"), _files("$job/.bashrc"),
    ),
    Fault(
        "mesh-firewall", "a firewall drops ssh on the fabric", "ssh_mesh", r"firewall",
        _sh("nft add table inet ddlfault; nft add chain inet ddlfault in '{ type filter hook input priority 0; }'\n"
            "nft add rule inet ddlfault in iifname ib0 tcp dport 22 drop"),
        _sh("nft delete table inet ddlfault 2>/dev/null || :"),
    ),
    Fault(
        "mesh-listen", "sshd listens on the management address only", "ssh_mesh", r"nothing listens .*ListenAddress",
        _sh(f'f=/etc/ssh/sshd_config.d/50-site.conf; keep $f; echo "ListenAddress $address" > $f; {_RESTART}'),
        _files("/etc/ssh/sshd_config.d/50-site.conf", then=_RESTART), "", _MPI,
    ),
    Fault(
        "mpi-params", "a parameter file switches UCX off", "openmpi", r"openmpi-mca-params\.conf says pml = \^ucx",
        _sh('f=/etc/openmpi/openmpi-mca-params.conf; keep $f; echo "pml = ^ucx" >> $f'),
        _files("/etc/openmpi/openmpi-mca-params.conf"), "openmpi",
    ),
    Fault(
        "mpi-user-params", "the job user's own parameters switch UCX off", "openmpi",
        r"~/\.openmpi/mca-params\.conf says pml = ob1",
        _sh("f=$job/.openmpi/mca-params.conf; mkdir -p $job/.openmpi; keep $f; echo 'pml = ob1' > $f\n"
            "chown -R ddl: $job/.openmpi"),
        _files("$job/.openmpi/mca-params.conf"),
    ),
    Fault(
        "mpi-environment", "the environment overrides the parameter files", "openmpi",
        r"environment \(OMPI_MCA_\*\) says pml = ob1",
        _sh("keep /etc/environment; echo 'OMPI_MCA_pml=ob1' >> /etc/environment"), _files("/etc/environment"),
    ),
    Fault(
        "mpi-login", "a profile puts another Open MPI first for who logs in", "openmpi",
        r"a login shell finds /opt/site/bin/mpirun, a session over ssh /usr/bin/mpirun",
        _sh("keep /opt/site/bin/mpirun; mkdir -p /opt/site/bin; printf '#!/bin/sh\\n' > /opt/site/bin/mpirun\n"
            "chmod 755 /opt/site/bin/mpirun\n"
            "f=/etc/profile.d/zz-site.sh; keep $f; echo 'PATH=/opt/site/bin:$PATH' > $f"),
        _files("/opt/site/bin/mpirun", "/etc/profile.d/zz-site.sh"),
    ),
    Fault(
        "mpi-profile", "a profile switches UCX off for who logs in", "openmpi",
        r"a login shell's environment says pml = ob1",
        _sh("f=/etc/profile.d/zz-site.sh; keep $f; echo 'export OMPI_MCA_pml=ob1' > $f"),
        _files("/etc/profile.d/zz-site.sh"),
    ),
    Fault(
        "mpi-gone", "Open MPI is not installed", "openmpi", r"no mpirun",
        _sh("keep /run/mpi-gone; : > /run/mpi-gone; dpkg -r --force-depends openmpi-bin"),
        _files("/run/mpi-gone", then="command -v mpirun >/dev/null || apt-get install -qy openmpi-bin"),
        "openmpi",
    ),
    Fault(
        "mpi-version", "another Open MPI comes first in the PATH", "openmpi", r"4\.1\.99",
        _sh("f=/usr/local/bin/mpirun; keep $f; printf '#!/bin/sh\\necho \"mpirun (Open MPI) 4.1.99\"\\n' > $f\n"
            "chmod 755 $f"),
        _files("/usr/local/bin/mpirun"),
    ),
    Fault(
        "clock-stopped", "the time daemon is stopped", "clock", r"no time daemon is active",
        _sh("systemctl stop chrony"), _sh("[ ! -e /usr/sbin/chronyd ] || systemctl start chrony"), "clock",
    ),
    Fault(
        "clock-server", "the time daemon follows nobody of the cluster", "clock", r"chronyd was not told of",
        _sh("f=/etc/chrony/chrony.conf; keep $f; sed -i 's/^server .*/server 10.99.0.9 iburst/; s/^pool .*//' $f\n"
            "systemctl restart chrony"),
        _files("/etc/chrony/chrony.conf", then="systemctl restart chrony"), "clock",
    ),
    Fault(
        "clock-hung", "a command hangs", "clock", r"chronyc tracking: deadline",
        _sh("keep /usr/bin/chronyc; rm /usr/bin/chronyc; printf '#!/bin/sh\\nexec sleep 600\\n' > /usr/bin/chronyc\n"
            "chmod 755 /usr/bin/chronyc"),
        _files("/usr/bin/chronyc"), status="UNKNOWN",
    ),
    Fault(
        "gate-intent", "the gate knows an earlier inventory", "health_gate", r"not of this inventory as it is now",
        _sh("""f=/etc/ddlcheck/intent.json; keep $f; sed -i 's/"declared":"......../"declared":"00000000/' $f"""),
        _files("/etc/ddlcheck/intent.json"), "health_gate",
    ),
    Fault(
        "gate-timer", "the gate's timer is stopped", "health_gate", r"ddlcheck\.timer is stopped",
        _sh("systemctl stop ddlcheck.timer"),
        _sh("[ ! -e /etc/systemd/system/ddlcheck.timer ] || systemctl start ddlcheck.timer"), "health_gate",
    ),
    Fault(
        "gate-gone", "the gate was removed", "health_gate", r"there is no /usr/local/sbin/ddlcheck-node",
        _sh("f=/usr/local/sbin/ddlcheck-node; keep $f; rm -f $f"),
        _files("/usr/local/sbin/ddlcheck-node"), "health_gate",
    ),
    Fault(
        "ib-cable", "the cable of the fabric interface is out", "interfaces", r"ib0 is down or has no carrier",
        lambda node: node.link("ib0", up=False), lambda node: node.link("ib0", up=True), "", _OFF_FABRIC,
    ),
    Fault(
        "ib-address", "the fabric interface lost its address", "interfaces", r"ib0 does not bear",
        _sh("ip addr flush dev ib0"),
        _sh('ip -4 addr show dev ib0 | grep -q inet || ip addr add "$net/24" dev ib0'),
        "", _OFF_FABRIC,
    ),
    Fault(
        "address-twin", "one address lives on two nodes", "interfaces", r"10\.99\.99\.1 of eth0 lives on",
        _on_both("ip addr add 10.99.99.1/32 dev eth0"), _on_both("ip addr del 10.99.99.1/32 dev eth0 2>/dev/null || :"),
        on="nodes",
    ),
    Fault(
        "nccl-interface", "NCCL is sent to the management network", "interfaces",
        r"/etc/nccl\.conf says NCCL_SOCKET_IFNAME==eth0",
        _sh("keep /etc/nccl.conf; sed -i 's/=ib0/=eth0/' /etc/nccl.conf"), _files("/etc/nccl.conf"), "interfaces",
    ),
    Fault(
        "nfs-unmounted", "the shared file system is not mounted", "nfs", r"/srv/shared is not mounted",
        _sh(f"{_UNMOUNT}rmdir /srv/shared"), _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-empty", "an empty directory is where the mount was", "nfs", r"an empty directory is in its place",
        _sh(_UNMOUNT), _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-filled", "somebody writes into the directory below the mount", "nfs", r"files of its own",
        _sh(f"{_UNMOUNT}echo mine > /srv/shared/note"), _sh(_REMOUNT),
    ),
    Fault(
        "nfs-source", "another directory is mounted in its place", "nfs", r"not from /export/shared",
        _sh(f"{_UNMOUNT}mkdir -p /var/tmp/other/.other; mount --bind -o nosuid,nodev /var/tmp/other /srv/shared"),
        _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-options", "it is mounted with other options", "nfs", r"other options than declared \(nosuid,nodev\)",
        _sh("mount -o remount,bind,suid,dev /srv/shared"), _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-readonly", "it became read-only", "nfs", r"read-only by surprise",
        _sh("mount -o remount,bind,ro,nosuid,nodev /srv/shared"), _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-full", "the shared file system is full", "nfs", r"is full: no bytes left",
        _sh("head -c 1G /dev/zero > /export/shared/fill 2>/dev/null || :"), _sh("rm -f /export/shared/fill"),
        on="nodes",
    ),
    Fault(
        "nfs-inodes", "the shared file system has room, but for no more files", "nfs", r"is full: no inodes left",
        _sh("d=/export/shared/many; mkdir -p $d; cd $d; seq 1 20000 | xargs touch 2>/dev/null || :"),
        _sh("rm -rf /export/shared/many"), on="nodes",
    ),
    Fault(
        "nfs-hung", "the file server does not answer any more", "nfs", r"/srv/shared is HUNG",
        _fuse("hung"), _sh(_REMOUNT),
    ),
    Fault(
        "nfs-stale", "the export was replaced while it was mounted", "nfs", r"export was removed or replaced",
        _fuse("stale"), _sh(_REMOUNT), "nfs",
    ),
    Fault(
        "data-missing", "one file of the data set is gone", "dataset", r"1 file missing \(first 0/07\.bin\)",
        _sh(f'rm "{_DIGIT}"'), _sh(":"), "dataset",
    ),
    Fault(
        "data-flipped", "one byte of the data set was changed", "dataset",
        r"1 file with other bytes \(first 0/07\.bin\)",
        _sh(f'printf "\\377" | dd of="{_DIGIT}" bs=1 seek=9 conv=notrunc status=none'), _sh(":"), "dataset",
    ),
    Fault(
        "data-extra", "a file is in the data set that does not belong there", "dataset",
        r"1 file that does not belong there \(first 0/stray\)",
        _sh("echo x > /data/digits/0/stray"), _sh(":"), "dataset",
    ),
    Fault(
        "data-owner", "the data set belongs to somebody else", "dataset",
        r"1 file of another owner \(first 0/07\.bin\)",
        _sh(f'chown 4711 "{_DIGIT}"'), _sh(":"), "dataset",
    ),
    Fault(
        "data-manifest", "the manifest of the data set is gone", "dataset", r"the manifest is missing",
        _sh("rm /data/.digits@*.manifest"), _sh(":"), "dataset",
    ),
    Fault(
        "fabric-slow", "the fabric interface sends at a tenth of its speed", "fabric", r"sending direction",
        _sh("tc qdisc add dev ib0 root tbf rate 300mbit burst 64kb latency 50ms"),
        _sh("tc qdisc del dev ib0 root 2>/dev/null || :"), status="WARN",
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
        _sh("[ -e /usr/bin/mpicc.lost ] || mv /usr/bin/mpicc /usr/bin/mpicc.lost"),
        _sh("[ ! -e /usr/bin/mpicc.lost ] || mv /usr/bin/mpicc.lost /usr/bin/mpicc"), allowed=_MPI,
    ),
    Fault(
        "fabric-noexec", "programs cannot be executed where the job user's cache is", "fabric", r"cannot execute",
        _sh("d=$job/.cache/ddlcheck; mkdir -p $d; chown ddl: $job/.cache $d\n"
            "mount -t tmpfs -o noexec,mode=700,uid=$(id -u ddl),gid=$(id -g ddl) tmpfs $d"),
        _sh("umount $job/.cache/ddlcheck 2>/dev/null || :"),
    ),
    Fault(
        "fabric-tmp", "there is no room in /tmp", "fabric", r"no room.*/tmp",
        _sh("mount -t tmpfs -o size=64k,mode=1777 tmpfs /tmp; dd if=/dev/zero of=/tmp/full bs=4k 2>/dev/null || :"),
        _sh("[ ! -e /tmp/full ] || umount -l /tmp"),
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

#: Every fault by its name.
FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _ALL}


def table() -> str:
    """Return docs/faults.md: what breaks, what is then said, and what mends it."""
    rows = [
        f"| `{f.name}` | {f.title} | {f.promise if f.promise == EVERY else f'`{f.promise}`'} {f.status} "
        f"| `{f.cause.replace('|', chr(92) + '|')}` | {f'role `{f.remedy}`' if f.remedy else 'by hand'} "
        f"| {', '.join(f'`{name}`' for name in sorted(f.allowed))} |"
        for f in _ALL
    ]
    head = (
        "# Faults\n\nWritten by `python -m ddlcheck.lab.faults`; do not edit. Each fault is put into one node of the\n"
        "practice cluster (`ddlcheck lab break NODE FAULT`), found by `ddlcheck cluster`, and mended:\n"
        "`tests/lab/test_faults.py`.\n\n"
        "| fault | what happened | promise | the cause says | mended by | may follow |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201 - its purpose
