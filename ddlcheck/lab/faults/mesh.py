"""The job user's way from node to node."""

from __future__ import annotations

from ddlcheck.lab.faults.fault import MPI, RESTART, Fault, files, sh

FAULTS = (
    Fault(
        "mesh-key", "the job user's key is gone", "ssh_mesh", r"no private key",
        sh("keep $job/.ssh/id_ed25519_ddl; rm -f $job/.ssh/id_ed25519_ddl"),
        files("$job/.ssh/id_ed25519_ddl"), "ssh_mesh", MPI,
    ),
    Fault(
        "mesh-authorized", "authorized_keys was emptied", "ssh_mesh", r"authorized_keys is empty",
        sh("keep $job/.ssh/authorized_keys; : > $job/.ssh/authorized_keys"),
        files("$job/.ssh/authorized_keys"), "ssh_mesh", MPI,
    ),
    Fault(
        "mesh-home", "the job user's home is writable by everybody", "ssh_mesh",
        r"/home/ddl is writable by others \(777\)",
        sh("chmod 777 $job"), sh("chmod go-w $job"), "ssh_mesh", MPI,
    ),
    Fault(
        "mesh-known", "a peer was reinstalled, and one node has its old host keys", "ssh_mesh",
        r"other host keys .*known_hosts",
        sh('f=/etc/ssh/ssh_known_hosts; keep $f; rm -f /tmp/other /tmp/other.pub\n'
            'for t in ed25519 ecdsa; do ssh-keygen -q -t $t -N "" -f /tmp/other; set -- $(cat /tmp/other.pub)\n'
            'sed -i -E "/$peer_ib/s#$1 [^ ]*#$1 $2#" $f; rm -f /tmp/other /tmp/other.pub; done'),
        files("/etc/ssh/ssh_known_hosts"), "ssh_mesh",
    ),
    Fault(
        "mesh-unknown", "known_hosts is gone", "ssh_mesh", r"no host key of theirs in known_hosts",
        sh("keep /etc/ssh/ssh_known_hosts; : > /etc/ssh/ssh_known_hosts"),
        files("/etc/ssh/ssh_known_hosts"), "ssh_mesh", MPI,
    ),
    Fault(
        "mesh-reset", "ssh on the fabric is reset before it begins, as a ban or MaxStartups does", "ssh_mesh",
        r"closes before the key exchange",
        sh("nft add table inet ddlreset; nft add chain inet ddlreset in '{ type filter hook input priority 0; }'\n"
            "nft add rule inet ddlreset in iifname ib0 tcp dport 22 'tcp flags & psh == psh' reject with tcp reset"),
        sh("nft delete table inet ddlreset 2>/dev/null || :"),
    ),
    Fault(
        "mesh-noisy", "the job user's .bashrc prints", "ssh_mesh", r"prints before any command",
        sh("keep $job/.bashrc; sed -i '1i echo Welcome' $job/.bashrc"), files("$job/.bashrc"),
    ),
    Fault(
        "mesh-firewall", "a firewall drops ssh on the fabric", "ssh_mesh", r"firewall",
        sh("nft add table inet ddlfault; nft add chain inet ddlfault in '{ type filter hook input priority 0; }'\n"
            "nft add rule inet ddlfault in iifname ib0 tcp dport 22 drop"),
        sh("nft delete table inet ddlfault 2>/dev/null || :"),
    ),
    Fault(
        "mesh-listen", "sshd listens on the management address only", "ssh_mesh", r"nothing listens .*ListenAddress",
        sh(f'f=/etc/ssh/sshd_config.d/50-site.conf; keep $f; echo "ListenAddress $address" > $f; {RESTART}'),
        files("/etc/ssh/sshd_config.d/50-site.conf", then=RESTART), "", MPI,
    ),
)  # fmt: skip
