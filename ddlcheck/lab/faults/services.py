"""What keeps a node's time, its gate, and the interfaces that MPI is to use."""

from __future__ import annotations

from ddlcheck.lab.faults.fault import OFF_FABRIC, Fault, files, on_both, sh

FAULTS = (
    Fault(
        "clock-stopped", "the time daemon is stopped", "clock", r"no time daemon is active",
        sh("systemctl stop chrony"), sh("[ ! -e /usr/sbin/chronyd ] || systemctl start chrony"), "clock",
    ),
    Fault(
        "clock-server", "the time daemon follows nobody of the cluster", "clock", r"chronyd was not told of",
        sh("f=/etc/chrony/chrony.conf; keep $f; sed -i 's/^server .*/server 10.99.0.9 iburst/; s/^pool .*//' $f\n"
            "systemctl restart chrony"),
        files("/etc/chrony/chrony.conf", then="systemctl restart chrony"), "clock",
    ),
    Fault(
        "clock-hung", "a command hangs", "clock", r"chronyc tracking: deadline",
        sh("keep /usr/bin/chronyc; rm /usr/bin/chronyc; printf '#!/bin/sh\\nexec sleep 600\\n' > /usr/bin/chronyc\n"
            "chmod 755 /usr/bin/chronyc"),
        files("/usr/bin/chronyc"), status="UNKNOWN",
    ),
    Fault(
        "gate-intent", "the gate knows an earlier inventory", "health_gate", r"not of this inventory as it is now",
        sh("""f=/etc/ddlcheck/intent.json; keep $f; sed -i 's/"declared":"......../"declared":"00000000/' $f"""),
        files("/etc/ddlcheck/intent.json"), "health_gate",
    ),
    Fault(
        "gate-timer", "the gate's timer is stopped", "health_gate", r"ddlcheck\.timer is stopped",
        sh("systemctl stop ddlcheck.timer"),
        sh("[ ! -e /etc/systemd/system/ddlcheck.timer ] || systemctl start ddlcheck.timer"), "health_gate",
    ),
    Fault(
        "gate-gone", "the gate was removed", "health_gate", r"there is no /usr/local/sbin/ddlcheck-node",
        sh("f=/usr/local/sbin/ddlcheck-node; keep $f; rm -f $f"),
        files("/usr/local/sbin/ddlcheck-node"), "health_gate",
    ),
    Fault(
        "ib-cable", "the cable of the fabric interface is out", "interfaces", r"ib0 is down or has no carrier",
        lambda node: node.link("ib0", up=False), lambda node: node.link("ib0", up=True), "", OFF_FABRIC,
    ),
    Fault(
        "ib-address", "the fabric interface lost its address", "interfaces", r"ib0 does not bear",
        sh("ip addr flush dev ib0"),
        sh('ip -4 addr show dev ib0 | grep -q inet || ip addr add "$net/24" dev ib0'),
        "", OFF_FABRIC,
    ),
    Fault(
        "address-twin", "one address lives on two nodes", "interfaces", r"10\.99\.99\.1 of eth0 lives on",
        on_both("ip addr add 10.99.99.1/32 dev eth0"), on_both("ip addr del 10.99.99.1/32 dev eth0 2>/dev/null || :"),
        on="nodes",
    ),
    Fault(
        "nccl-interface", "NCCL is sent to the management network", "interfaces",
        r"/etc/nccl\.conf says NCCL_SOCKET_IFNAME==eth0",
        sh("keep /etc/nccl.conf; sed -i 's/=ib0/=eth0/' /etc/nccl.conf"), files("/etc/nccl.conf"), "interfaces",
    ),
)  # fmt: skip
