"""A node that cannot be asked; its limits, its name, the names it knows.

A frozen node comes first, because nothing can be healed in it before it runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.lab.faults.fault import EVERY, MESH, OFF_FABRIC, RESTART, Fault, files, run, sh

if TYPE_CHECKING:
    from ddlcheck.lab.nodes import Node


def _thaw(node: Node) -> None:
    if node.state() == "frozen":
        node.thaw()
        # To chronyd time has jumped: by itself it takes minutes to trust its server again.
        run(node, "[ ! -e /usr/sbin/chronyd ] || systemctl restart chrony")


_HOST_KEYS = ("ed25519_key", "ed25519_key.pub", "ecdsa_key", "ecdsa_key.pub")
# A running sshd whose soft limit is what Linux gave before 5.16; it may be raised again, by PAM or by a restart.
_LOW = 'prlimit --pid "$(systemctl show -p MainPID --value ssh)" --memlock=65536:'

FAULTS = (
    Fault(
        "node-frozen", "the node hangs", EVERY, r"\(timeout\)",
        lambda node: node.freeze(), _thaw, status="UNKNOWN",
    ),
    Fault(
        "node-python", "there is no Python on the node", EVERY, r"no python",
        sh("[ -e /usr/bin/python3.lost ] || mv /usr/bin/python3 /usr/bin/python3.lost"),
        sh("[ ! -e /usr/bin/python3.lost ] || mv /usr/bin/python3.lost /usr/bin/python3"), status="UNKNOWN",
    ),
    Fault(
        "node-sshd", "sshd is stopped", EVERY, r"\(refused\)",
        sh("systemctl stop ssh"), sh("systemctl start ssh"), status="UNKNOWN",
    ),
    Fault(
        "node-reinstalled", "the node has new host keys", EVERY, r"\(host key changed\)",
        sh('for t in ed25519 ecdsa; do f=/etc/ssh/ssh_host_${t}_key; keep $f; keep $f.pub; rm $f $f.pub\n'
            f'ssh-keygen -q -t $t -N "" -f $f; done; {RESTART}'),
        files(*(f"/etc/ssh/ssh_host_{key}" for key in _HOST_KEYS), then=RESTART),
        status="UNKNOWN",
    ),
    Fault(
        "node-account", "the key that lets us in was removed", EVERY, r"\(key refused\)",
        sh("keep /home/admin/.ssh/authorized_keys; : > /home/admin/.ssh/authorized_keys"),
        files("/home/admin/.ssh/authorized_keys"), status="UNKNOWN",
    ),
    Fault(
        "memlock-override", "a later file of limits.d has the last word", "memlock", r"zz-site\.conf line 1",
        sh('keep /etc/security/limits.d/zz-site.conf; echo "* - memlock 64" > /etc/security/limits.d/zz-site.conf'),
        files("/etc/security/limits.d/zz-site.conf"), "memlock",
    ),
    Fault(
        "memlock-user", "an entry for the job user beats the one for everybody", "memlock",
        r"10-jobs\.conf line 1 \(ddl",
        sh('keep /etc/security/limits.d/10-jobs.conf; echo "ddl - memlock 64" > /etc/security/limits.d/10-jobs.conf'),
        files("/etc/security/limits.d/10-jobs.conf"), "memlock",
    ),
    Fault(
        "memlock-unit", "sshd's unit has a low limit", "memlock", r"95-ddl-memlock\.conf limits ssh\.service to 64 KiB",
        sh(f'f=/etc/systemd/system/ssh.service.d/95-ddl-memlock.conf; keep $f\n'
            f'printf "[Service]\\nLimitMEMLOCK=64K\\n" > $f; {RESTART}'),
        files("/etc/systemd/system/ssh.service.d/95-ddl-memlock.conf", then=RESTART), "memlock",
    ),
    Fault(
        "memlock-daemon", "sshd was started before the limit was raised", "memlock",
        r"ssh\.service runs with a limit older",
        sh(f"keep /run/old-sshd; : > /run/old-sshd; {_LOW}65536"),
        files("/run/old-sshd", then=RESTART), "memlock",
    ),
    Fault(
        "memlock-pam", "sshd's PAM stack does not set limits", "memlock", r"pam_limits is missing .*/etc/pam\.d/sshd",
        sh(f"keep /etc/pam.d/sshd; sed -i '/pam_limits/s/^/# /' /etc/pam.d/sshd; {_LOW}"),
        files("/etc/pam.d/sshd", then=RESTART), "memlock",
    ),
    Fault(
        "memlock-usepam", "sshd does not ask PAM", "memlock", r"/etc/ssh/sshd_config says UsePAM no",
        # Without PAM, sshd takes an account without a password (!) for a locked one.
        sh("usermod -p '*' admin; usermod -p '*' ddl; keep /etc/ssh/sshd_config\n"
            "rm -f /etc/ssh/sshd_config.d/00-ddl-memlock.conf  # of the role, where it mended this before\n"
            f"sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config; {RESTART}; {_LOW}"),
        files("/etc/ssh/sshd_config", then=RESTART), "memlock",
    ),
    Fault(
        "hostname-renamed", "somebody renamed the node", "hostname", r"was renamed",
        sh("hostnamectl set-hostname gpu7"), sh('[ "$(hostname)" != gpu7 ] || hostnamectl set-hostname "$ib"'),
        "hostname",
    ),
    Fault(
        "hostname-static", "the next boot will rename the node", "hostname", r"/etc/hostname holds gpu7",
        sh("keep /etc/hostname; echo gpu7 > /etc/hostname"), files("/etc/hostname"), "hostname",
    ),
    Fault(
        "hostname-transient", "DHCP renamed the running node", "hostname", r"transient",
        sh("hostname gpu7"), sh('[ "$(hostname)" != gpu7 ] || hostname "$ib"'), "hostname",
    ),
    Fault(
        "hostname-twin", "a copied node kept the name of the original", "hostname", r"answer(s to the name of| to )",
        sh('hostnamectl set-hostname "$peer_ib"'),
        sh('[ "$(hostname)" != "$peer_ib" ] || hostnamectl set-hostname "$ib"'),
        "hostname", on="nodes",
    ),
    Fault(
        "hosts-loopback", "the installer's 127.0.1.1 line is back", "hosts_file",
        r"/etc/hosts line 1 gives 127\.0\.1\.1",
        sh('keep /etc/hosts; sed -i "1i 127.0.1.1 $ib" /etc/hosts'), files("/etc/hosts"), "hosts_file",
    ),
    Fault(
        "hosts-stale", "a peer has moved, and one node was not told", "hosts_file",
        r"/etc/hosts line \d+ gives 10\.99\.0\.9",
        sh('keep /etc/hosts; sed -i "s/^[0-9.]* $peer_ib\\$/10.99.0.9 $peer_ib/" /etc/hosts'),
        files("/etc/hosts"), "hosts_file", MESH,
    ),
    Fault(
        "hosts-missing", "a peer is missing in /etc/hosts", "hosts_file", r"/etc/hosts has no line for ib\d",
        sh('keep /etc/hosts; sed -i "/ $peer_ib\\$/d" /etc/hosts'), files("/etc/hosts"), "hosts_file", MESH,
    ),
    Fault(
        "hosts-nsswitch", "the resolver does not read /etc/hosts", "hosts_file",
        r"/etc/nsswitch\.conf does not name files",
        sh("keep /etc/nsswitch.conf; sed -i 's/^hosts:.*/hosts: dns/' /etc/nsswitch.conf"),
        files("/etc/nsswitch.conf"), "hosts_file", OFF_FABRIC,
    ),
    Fault(
        "hosts-mode", "only root may read /etc/hosts", "hosts_file", r"/etc/hosts cannot be read by ddl",
        # In place, since its content is nobody's fault.
        sh("chmod 000 /etc/hosts"), sh("chmod 644 /etc/hosts"), "hosts_file", OFF_FABRIC,
    ),
)  # fmt: skip
