"""site.yml on three new machines: it makes the promises true, rests when they are, and mends what was broken."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytestmark = pytest.mark.lab


def names(lab: Any) -> dict[str, str]:
    """Return every name and address in use, and the host name that has to answer to it."""
    return {
        word: node.fabric_name
        for node in lab.nodes
        for word in (node.name, node.fabric_name, node.address, node.fabric_address)
    }


# ---- the three passes


def test_looking_only_at_new_nodes_fails_nowhere_and_changes_nothing(passes: Any) -> None:
    assert passes.check.status == 0, passes.check.said[-3000:]
    for node, files in passes.before.items():
        assert set(passes.between[node].splitlines()) ^ set(files.splitlines()) == set()
    assert all(passes.check.changed.values())


def test_the_first_run_mends_and_the_second_rests(passes: Any) -> None:
    assert passes.first.status == 0, passes.first.said[-3000:]
    assert all(passes.first.changed.values())
    assert passes.second.status == 0
    assert set(passes.second.changed.values()) == {0}, passes.second.said


def test_no_private_key_is_ever_shown(passes: Any) -> None:
    assert "PRIVATE KEY" not in passes.first.said + passes.second.said


# ---- what is seen from outside


def test_a_new_session_may_lock_what_is_declared(cluster: Any) -> None:
    assert [cluster.session(node.name, "ulimit -S -l; ulimit -H -l") for node in cluster.lab.nodes] == [
        "8192\n8192"
    ] * 3
    assert cluster.session("minsky1", "sudo sh -c 'ulimit -l'") == "8192"


def test_every_node_bears_its_fabric_s_name(cluster: Any) -> None:
    said = [cluster.on(node.name, "uname -n; cat /etc/hostname; hostnamectl --static") for node in cluster.lab.nodes]
    assert said == ["\n".join([node.fabric_name] * 3) for node in cluster.lab.nodes]


def test_every_node_resolves_every_name_alike(cluster: Any) -> None:
    words = " ".join(name for node in cluster.lab.nodes for name in (node.name, node.fabric_name))
    said = {cluster.on(node.name, f"getent ahosts {words} | sort; getent hosts {words}") for node in cluster.lab.nodes}
    assert len(said) == 1
    for node in cluster.lab.nodes:
        assert cluster.on(node.name, f"getent hosts {node.fabric_name}").split() == [
            node.fabric_address,
            node.fabric_name,
        ]
        assert not cluster.on(node.name, "grep -c ^127.0.1.1 /etc/hosts || true").strip("0")


def test_any_node_reaches_any_node_by_every_name(cluster: Any) -> None:
    for node in cluster.lab.nodes:
        script = "for h in {}; do ssh -o BatchMode=yes -o ConnectTimeout=5 $h uname -n || echo $h failed; done"
        said = cluster.user(node.name, script.format(" ".join(names(cluster.lab)))).stdout.split()
        assert said == list(names(cluster.lab).values())


def test_the_key_is_one_and_lets_in_from_the_cluster_only(cluster: Any) -> None:
    hashes = {cluster.on(node.name, "sha256sum < /home/ddl/.ssh/id_ed25519_ddl") for node in cluster.lab.nodes}
    assert len(hashes) == 1
    line = cluster.on("minsky2", "grep -c . /home/ddl/.ssh/authorized_keys; cat /home/ddl/.ssh/authorized_keys")
    assert line.startswith('1\nfrom="127.0.0.1,::1,')
    assert cluster.on("minsky2", "stat -c '%a %U %G' /home/ddl/.ssh /home/ddl/.ssh/*ddl") == "700 ddl ddl\n600 ddl ddl"


def test_another_user_s_own_keys_are_still_tried(cluster: Any) -> None:
    said = cluster.on("minsky1", "ssh -G admin@minsky2 | grep ^identityfile; ssh -G minsky2 | grep ^stricthost")
    assert "~/.ssh/id_ed25519\n" in said
    assert "ddl" not in said
    assert "stricthostkeychecking true" in said


def test_the_clocks_follow_the_first_node(cluster: Any) -> None:
    server = cluster.lab.nodes[0].address
    for node in cluster.lab.nodes[1:]:
        assert f"^* {server}" in cluster.on(node.name, "chronyc -n sources")


def test_ranks_on_two_nodes_have_limit_name_and_interface(cluster: Any) -> None:
    lines = "printf 'ib1 slots=1\\nib2 slots=1\\n' > hosts; "
    done = cluster.user(
        "minsky1", lines + "mpirun -np 2 --hostfile hosts sh -c 'uname -n; ulimit -l; echo $GLOO_SOCKET_IFNAME'"
    )
    assert sorted(done.stdout.split()) == ["8192", "8192", "ib0", "ib0", "ib1", "ib2"], done.stderr
    said = cluster.on(
        "minsky2", "ompi_info --parsable --all | grep -E ':(pml|btl|btl_tcp_if_include|oob_tcp_if_include):value:'"
    )
    assert "btl_tcp_if_include:value:ib0" in said
    assert "^" not in said


def test_a_limited_run_still_names_the_whole_cluster(cluster: Any) -> None:
    run = cluster.mend("hosts_file,ssh_mesh", "--limit", "minsky2")
    assert (run.status, run.changed) == (0, {"minsky2": 0}), run.said


# ---- memlock


def test_a_later_limits_file_is_silenced_and_kept(cluster: Any) -> None:
    cluster.on(
        "minsky2",
        "printf '# site\\n* - memlock 64\\n* - nofile 4096\\nguest - memlock 64\\n' > /etc/security/limits.d/zz-site.conf",
    )
    assert cluster.session("minsky2", "ulimit -l") == "64"
    assert cluster.mend("memlock").changed == {"minsky1": 0, "minsky2": 1, "minsky3": 0}
    assert cluster.session("minsky2", "ulimit -l") == "8192"
    after = "# site\n# silenced by role memlock: * - memlock 64\n* - nofile 4096\nguest - memlock 64"
    assert cluster.on("minsky2", "cat /etc/security/limits.d/zz-site.conf") == after
    assert "* - memlock 64" in cluster.on("minsky2", "cat /etc/security/limits.d/zz-site.conf.*~")


def test_a_daemon_that_runs_with_less_is_restarted_though_its_files_are_right(cluster: Any) -> None:
    pid = cluster.on(
        "minsky3", "pid=$(systemctl show -p MainPID --value ssh); prlimit --pid $pid --memlock=65536:65536; echo $pid"
    )
    assert cluster.session("minsky3", "ulimit -l") == "64"
    assert cluster.mend("memlock").changed == {"minsky1": 0, "minsky2": 0, "minsky3": 1}
    assert cluster.session("minsky3", "ulimit -l") == "8192"
    assert cluster.on("minsky3", "systemctl show -p MainPID --value ssh") != pid


def test_pam_is_switched_on_again(cluster: Any) -> None:
    # Without PAM, sshd lets nobody in whose password is locked ("!"); "*" is merely none.
    cluster.on(
        "minsky1",
        "sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config; usermod -p '*' admin; sed -i '/pam_limits/d' /etc/pam.d/sudo; systemctl reload ssh",
    )
    run = cluster.mend("memlock")
    assert run.status == 0, run.said
    assert "usepam yes" in cluster.on("minsky1", "sshd -T; grep -q pam_limits /etc/pam.d/sudo")
    assert cluster.session("minsky1", "ulimit -l") == "8192"
    assert set(cluster.mend("memlock").changed.values()) == {0}


def test_pam_that_cannot_be_switched_on_is_said_and_nothing_left(cluster: Any) -> None:
    cluster.on(
        "minsky1",
        "rm -f /etc/ssh/sshd_config.d/00-ddl-memlock.conf; echo 'UsePAM no' > /etc/ssh/sshd_config.d/00-a.conf; systemctl reload ssh",
    )
    try:
        run = cluster.mend("memlock", "--limit", "minsky1")
        assert "runs with 'UsePAM no' and cannot be switched" in run.failed["minsky1"]
        assert cluster.on("minsky1", "ls /etc/ssh/sshd_config.d") == "00-a.conf\n00-ddl-ssh-mesh.conf"
    finally:
        cluster.on("minsky1", "rm /etc/ssh/sshd_config.d/00-a.conf; systemctl reload ssh")
    assert cluster.mend("memlock").status == 0


def test_a_limit_nobody_can_raise_is_said(cluster: Any) -> None:
    if cluster.lab.nodes[0].run(["sh", "-c", "ulimit -l unlimited"]).returncode == 0:
        pytest.skip("this machine can raise any limit")
    run = cluster.mend("memlock", "--limit", "minsky3", "-e", "memlock_limit=unlimited")
    assert "a container without CAP_SYS_RESOURCE" in run.failed["minsky3"]
    assert cluster.mend("memlock").status == 0


# ---- names


def test_a_node_renamed_by_hand_gets_its_name_back(cluster: Any) -> None:
    cluster.on("minsky2", "hostnamectl set-hostname localhost.localdomain; mkdir -p /etc/cloud/cloud.cfg.d")
    run = cluster.mend("hostname")
    assert (run.status, run.changed["minsky2"], run.changed["minsky1"]) == (0, 2, 0)
    assert cluster.on("minsky2", "uname -n; cat /etc/hostname /etc/cloud/cloud.cfg.d/99-ddl-hostname.cfg").startswith(
        "ib2\nib2\n"
    )
    assert "preserve_hostname: true" in cluster.on(
        "minsky2", "cat /etc/cloud/cloud.cfg.d/99-ddl-hostname.cfg; rm -r /etc/cloud"
    )


def test_a_stale_address_goes_and_other_lines_stay(cluster: Any) -> None:
    lines = "10.9.9.9 ib2 IB3 old # somebody\\n10.9.9.9 ib1\\n10.0.0.7 nfs # kept\\n127.0.1.1 old\\n"
    cluster.on("minsky1", f"printf '{lines}' | cat - /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts")
    assert cluster.on("minsky1", "getent hosts ib2").split()[0] == "10.9.9.9"
    assert cluster.mend("hosts_file").changed == {"minsky1": 1, "minsky2": 0, "minsky3": 0}
    assert cluster.on("minsky1", "getent hosts ib2").split()[0] == cluster.lab.nodes[1].fabric_address
    assert cluster.on("minsky1", "head -2 /etc/hosts") == "10.9.9.9 old # somebody\n10.0.0.7 nfs # kept"


def test_a_block_cut_short_is_written_whole(cluster: Any) -> None:
    whole = cluster.on("minsky3", "cat /etc/hosts")
    cluster.on("minsky3", "sed -i -e '/^# END ddl/d' -e '/ib1$/d' /etc/hosts; echo '10.0.0.7 nfs' >> /etc/hosts")
    assert cluster.mend("hosts_file").changed["minsky3"] == 1
    after = cluster.on("minsky3", "cat /etc/hosts")
    assert after.replace("10.0.0.7 nfs\n", "") == whole
    assert "10.0.0.7 nfs" in after


def test_files_answer_before_dns(cluster: Any) -> None:
    cluster.on("minsky2", "sed -i 's/^hosts:.*/hosts: dns [!UNAVAIL=return] files myhostname/' /etc/nsswitch.conf")
    assert cluster.mend("hosts_file").changed["minsky2"] == 1
    assert cluster.on("minsky2", "grep ^hosts: /etc/nsswitch.conf") == "hosts: files dns [!UNAVAIL=return] myhostname"


# ---- ssh


def test_keys_that_contradict_are_replaced(cluster: Any) -> None:
    cluster.on(
        "minsky1",
        """ssh-keygen -q -t ed25519 -N '' -f /tmp/other; key=$(cut -d' ' -f1,2 /tmp/other.pub)
        printf 'minsky2,ib2 %s\\ngit.example.org %s\\n' "$key" "$key" > /etc/ssh/ssh_known_hosts
        printf 'ib3 %s\\ngit.example.org %s\\n' "$key" "$key" > /home/ddl/.ssh/known_hosts
        chown ddl:ddl /home/ddl/.ssh/known_hosts; runuser -u ddl -- ssh-keygen -q -H -f /home/ddl/.ssh/known_hosts""",
    )
    assert "Host key verification failed" in cluster.reaches("minsky1", "ib2")
    assert cluster.mend("ssh_mesh").changed == {"minsky1": 2, "minsky2": 0, "minsky3": 0}
    assert [cluster.reaches("minsky1", name) for name in ("ib2", "ib3")] == ["ib2", "ib3"]
    assert cluster.on("minsky1", "head -1 /etc/ssh/ssh_known_hosts").startswith("git.example.org ")
    assert "found" in cluster.on("minsky1", "ssh-keygen -F git.example.org -f /home/ddl/.ssh/known_hosts")
    assert cluster.on("minsky1", "stat -c %U /home/ddl/.ssh/known_hosts") == "ddl"


def test_a_lost_key_comes_back_and_is_the_same(cluster: Any) -> None:
    key = cluster.on("minsky2", "sha256sum < /home/ddl/.ssh/id_ed25519_ddl")
    for name in ("minsky1", "minsky3"):  # the first host of the cluster among them
        cluster.on(name, "rm -r /home/ddl/.ssh")
    cluster.on(
        "minsky2",
        "echo 'ssh-ed25519 AAAA someone@else' >> /home/ddl/.ssh/authorized_keys; chmod 777 /home/ddl /home/ddl/.ssh",
    )
    assert cluster.mend("ssh_mesh").status == 0
    assert {cluster.on(node.name, "sha256sum < /home/ddl/.ssh/id_ed25519_ddl") for node in cluster.lab.nodes} == {key}
    assert (
        cluster.on("minsky2", "stat -c %a /home/ddl /home/ddl/.ssh; cat /home/ddl/.ssh/authorized_keys").count("\n")
        == 3
    )
    for source, target in itertools.permutations(("minsky1", "ib2", "minsky3"), 2):
        assert cluster.reaches(source, target).startswith("ib")
    assert set(cluster.mend("ssh_mesh").changed.values()) == {0}


def test_a_silent_host_is_named_and_nothing_is_cut(cluster: Any) -> None:
    before = cluster.on("minsky1", "cat /etc/ssh/ssh_known_hosts")
    node = cluster.lab.node("minsky3")
    node.link("eth0", up=False)
    try:
        run = cluster.mend(
            "ssh_mesh",
            "--limit",
            "minsky1",
            ANSIBLE_TIMEOUT="3",
            ANSIBLE_SSH_RETRIES="0",
            ANSIBLE_SSH_ARGS="-o ControlMaster=no",
        )
    finally:
        node.link("eth0", up=True)
    assert run.failed["minsky1"].startswith("Without the host keys of minsky3 there is no mesh")
    assert cluster.on("minsky1", "cat /etc/ssh/ssh_known_hosts") == before


def test_a_user_who_is_not_there_is_said(cluster: Any) -> None:
    run = cluster.mend("ssh_mesh", "-e", "ssh_mesh_user=nobody2")
    assert run.failed["minsky1"].startswith("The user nobody2 does not exist on minsky1")


def test_limits_that_another_file_wins_are_said_and_taken_back(cluster: Any) -> None:
    # The first of two wins in newer versions of sshd, the last in older ones.
    cluster.on(
        "minsky1", "cd /etc/ssh/sshd_config.d; echo 'MaxStartups 5' | tee 00-a.conf > zz.conf; systemctl reload ssh"
    )
    try:
        run = cluster.mend("ssh_mesh", "--limit", "minsky1")
        assert "does not take 'MaxStartups 100:30:300'" in run.failed["minsky1"]
        assert cluster.on("minsky1", "ls /etc/ssh/sshd_config.d/*mesh* 2>&1 || true").endswith(
            "No such file or directory"
        )
    finally:
        cluster.on("minsky1", "cd /etc/ssh/sshd_config.d; rm 00-a.conf zz.conf; systemctl reload ssh")
    assert cluster.mend("ssh_mesh").status == 0
    assert "maxstartups 100:30:300" in cluster.on("minsky1", "sshd -T")


# ---- Open MPI, clock, interfaces


def test_an_excluded_transport_is_let_in_again(cluster: Any) -> None:
    conf = "/etc/openmpi/openmpi-mca-params.conf"
    cluster.on("minsky2", f"printf 'pml = ^ucx\\nbtl = ^uct,openib,ofi\\n' > {conf}")
    assert cluster.mend("openmpi").changed == {"minsky1": 0, "minsky2": 1, "minsky3": 0}
    assert "^" not in cluster.on("minsky2", f"grep -v '^#' {conf}")


def test_a_node_with_another_open_mpi_is_named(cluster: Any) -> None:
    other = '#!/bin/sh\\necho "mpirun (Open MPI) 5.0.7"\\n'
    cluster.on(
        "minsky3",
        f"mv /usr/bin/mpirun /usr/bin/mpirun.was; printf '{other}' > /usr/bin/mpirun; chmod +x /usr/bin/mpirun",
    )
    try:
        run = cluster.mend("openmpi")
    finally:
        cluster.on("minsky3", "mv /usr/bin/mpirun.was /usr/bin/mpirun; rm -f /etc/openmpi/prte-mca-params.conf")
    said = " ".join(run.failed.values())
    assert "on minsky1, minsky2; 5.0.7 on minsky3." in said, run.said
    assert cluster.mend("openmpi").status == 0


def test_a_clock_that_stands_is_started(cluster: Any) -> None:
    cluster.on("minsky2", "systemctl disable --now chrony")
    assert cluster.mend("clock").changed == {"minsky1": 0, "minsky2": 1, "minsky3": 0}
    assert cluster.on("minsky2", "systemctl is-active chrony; systemctl is-enabled chrony") == "active\nenabled"


def test_a_foreign_line_stays_but_ours_is_first(cluster: Any) -> None:
    cluster.on("minsky1", "printf 'NCCL_DEBUG=WARN\\nNCCL_SOCKET_IFNAME=eth0\\n' > /etc/nccl.conf")
    assert cluster.mend("interfaces").changed == {"minsky1": 1, "minsky2": 0, "minsky3": 0}
    lines = cluster.on("minsky1", "grep -v '^#' /etc/nccl.conf").splitlines()
    assert lines == ["NCCL_SOCKET_IFNAME==ib0", "NCCL_DEBUG=WARN", "NCCL_SOCKET_IFNAME=eth0"]
    cluster.on("minsky1", "sed -i /eth0/d /etc/nccl.conf")


def test_a_missing_address_is_said(cluster: Any) -> None:
    run = cluster.mend("interfaces", "-e", "interfaces_fabric_address=198.51.100.9")
    assert run.failed["minsky2"].startswith("ib0 on minsky2 does not bear 198.51.100.9")


def test_all_is_at_rest_again(cluster: Any, play: Any) -> None:
    run = play(cluster.lab.inventory)
    assert (run.status, set(run.changed.values())) == (0, {0}), run.said
