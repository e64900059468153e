"""Real connections to a real sshd: what works, and how each failure is told apart."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import threading
import time

import pytest

from ddlcheck import wants as W
from ddlcheck.errors import NodeError
from ddlcheck.probes import ssh, transport
from ddlcheck.probes.route import plan
from tests.sshd import free_port, keygen, running

HOSTNAME = W.run("uname", "-n")
WANTED = {W.key(HOSTNAME): HOSTNAME}


@pytest.fixture(autouse=True)
def fresh_caches():
    ssh._known.cache_clear()
    ssh._load_key.cache_clear()
    yield
    ssh.close_shared()


def ask(node, wanted=WANTED, seconds=20.0):
    return transport.ask(node, wanted, seconds)


def reason(node, seconds=20.0):
    with pytest.raises(NodeError) as caught:
        ask(node, seconds=seconds)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_a_node_answers_in_one_round_trip(sshd):
    assert ask(sshd.node())[W.key(HOSTNAME)].need().strip() == socket.gethostname()


def test_the_ssh_program_is_used_where_paramiko_cannot_and_gives_the_same(sshd):
    node = sshd.node(options="-o ProxyCommand='sh -c \"exec 3<>/dev/tcp/127.0.0.1/%p; :\"'")
    assert "proxycommand" in plan(node).via_ssh
    node = sshd.node(options="-o Tunnel=no")
    assert "tunnel" in plan(node).via_ssh
    assert ask(node)[W.key(HOSTNAME)].need().strip() == socket.gethostname()


@pytest.mark.parametrize("options", ["", "-o Tunnel=no"], ids=["through paramiko", "through the ssh program"])
class TestReasons:
    def test_nobody_listens(self, sshd, options):
        assert reason(sshd.node(port=free_port(), options=options)) == "refused"

    def test_the_host_key_is_not_known(self, sshd, options, tmp_path):
        node = sshd.node(options=f"{options} -o UserKnownHostsFile={tmp_path / 'none'}")
        node = sshd.node(ssh_options=(f"-F none -o UserKnownHostsFile={tmp_path / 'none'} {options}",))
        assert reason(node) == "host key unknown"

    def test_the_host_key_is_another(self, sshd, options, tmp_path):
        sshd.pin(keygen(tmp_path / "other"))
        try:
            assert reason(sshd.node(options=options)) == "host key changed"
        finally:
            sshd.pin()

    def test_the_key_is_refused(self, sshd, options, tmp_path):
        assert reason(sshd.node(key_file=str(keygen(tmp_path / "stranger")), options=options)) == "key refused"

    def test_the_name_does_not_resolve(self, sshd, options):
        assert reason(sshd.node(address="no-such-host.invalid", options=options)) == "name"

    def test_it_never_says_a_word(self, sshd, options):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            began = time.monotonic()
            assert reason(sshd.node(port=mute.getsockname()[1], options=options), seconds=2.0) == "timeout"
            assert time.monotonic() - began < 12

    def test_it_closes_before_the_key_exchange(self, sshd, options):
        with socket.create_server(("127.0.0.1", 0)) as rude:

            def hang_up():
                for _ in range(4):
                    try:
                        rude.accept()[0].close()
                    except OSError:
                        return

            threading.Thread(target=hang_up, daemon=True).start()
            assert reason(sshd.node(port=rude.getsockname()[1], options=options), seconds=5.0) == "closed"

    def test_there_is_no_python(self, sshd, options):
        assert reason(sshd.node(python="/nowhere/python3", options=options)) == "no python"

    def test_privilege_is_refused(self, sshd, options):
        assert (
            reason(
                sshd.node(become=("/bin/sh", "-c", "echo sudo: a password is required >&2; exit 1"), options=options)
            )
            == "privilege"
        )


@pytest.mark.parametrize("name", ["-oProxyCommand=touch /tmp/ddlcheck-pwned", "--", "-l"])
def test_a_host_that_looks_like_an_option_is_refused(sshd, name):
    with pytest.raises(NodeError) as caught:
        ask(sshd.node(address=name))
    assert caught.value.reason == "name"
    assert not pathlib.Path("/tmp/ddlcheck-pwned").exists()


@pytest.fixture
def forced(tmp_path):
    """An sshd whose every session runs one command first, as a .bashrc would."""

    def start(command):
        return running(tmp_path, f"ForceCommand={command}")

    return start


def test_a_noisy_login_is_survived_and_reported(forced):
    with forced('echo welcome to the machine; printf "no newline"; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"') as noisy:
        session = W.session()
        got = ask(noisy.node(), {**WANTED, W.key(session): session})
    assert got[W.key(HOSTNAME)].need().strip() == socket.gethostname()
    assert got[W.key(session)].data["noise"] == "welcome to the machine\nno newline"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("head -c 20000000 /dev/urandom", "too much", id="megabytes of garbage"),
        pytest.param("head -c 2000 /dev/urandom", "garbage", id="a little garbage"),
        pytest.param("exit 0", "closed", id="silence"),
        pytest.param("sleep 60", "timeout", id="a session that hangs"),
        pytest.param("echo sh: write error: No space left on device >&2; exit 1", "disk full", id="a full disk"),
        pytest.param("echo '@ddlcheck 00 hello 5'; echo nope", "garbage", id="a frame that is not ours"),
    ],
)
def test_what_is_no_answer_is_named(forced, command, why):
    with forced(command) as server:
        assert reason(server.node(), seconds=4.0) == why


def test_a_child_that_outlives_its_deadline_is_killed_and_the_rest_is_kept(sshd):
    late = W.run("sleep", "4711", deadline=1)
    got = ask(sshd.node(), {**WANTED, W.key(late): late})
    assert got[W.key(late)].why == "deadline"
    assert got[W.key(HOSTNAME)].need()
    assert subprocess.run(["pgrep", "-f", "sleep 4711"], check=False).returncode == 1


def test_nothing_is_left_running_when_the_asker_goes_away(sshd):
    long = W.run("sleep", "4712", deadline=50)
    node = sshd.node()
    pipe = transport.start(node, time.monotonic() + 20)
    from ddlcheck.probes.protocol import Conversation

    talk = Conversation(pipe, {"wants": {"x": long}, "deadline": 60}, deadline=60)
    talk.hello()
    for _ in range(50):
        if subprocess.run(["pgrep", "-f", "sleep 4712"], check=False).returncode == 0:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the command never ran")
    pipe.close()
    for _ in range(60):
        if subprocess.run(["pgrep", "-f", "sleep 4712"], check=False).returncode == 1:
            return
        time.sleep(0.1)
    pytest.fail("the command outlived its asker")


def test_a_jump_host_leads_to_a_node(sshd, tmp_path):
    with running(tmp_path) as jump:
        both = tmp_path / "both"
        both.write_text(sshd.known_hosts.read_text() + jump.known_hosts.read_text())
        config = tmp_path / "config"
        config.write_text(
            f"Host jump\n HostName 127.0.0.1\n Port {jump.port}\n IdentityFile {tmp_path / 'user'}\n"
            f"Host *\n UserKnownHostsFile {both}\n IdentitiesOnly yes\n"
        )
        node = sshd.node(ssh_options=(f"-F {config} -o ProxyJump=jump",))
        route = plan(node)
        assert not route.via_ssh
        assert [j.port for j in route.jumps] == [jump.port]
        assert ask(node)[W.key(HOSTNAME)].need().strip() == socket.gethostname()
        assert "direct-tcpip" in (tmp_path / "log").read_text() or "Accepted" in (tmp_path / "log").read_text()


def test_a_user_certificate_is_offered(tmp_path):
    authority = keygen(tmp_path / "ca")
    with running(tmp_path, f"TrustedUserCAKeys={authority}.pub", "AuthorizedKeysFile=none") as server:
        node = server.node()
        assert reason(node) == "key refused"
        subprocess.run(
            ["ssh-keygen", "-q", "-s", str(authority), "-I", "t", "-n", node.user, f"{tmp_path / 'user'}.pub"],
            check=True,
        )
        assert ask(node)[W.key(HOSTNAME)].need()


def test_a_host_key_alias_is_where_the_key_is_looked_up(sshd):
    sshd.pin(name="the-alias")
    try:
        assert reason(sshd.node()) == "host key unknown"
        ssh._known.cache_clear()
        assert ask(sshd.node(options="-o HostKeyAlias=the-alias"))[W.key(HOSTNAME)].need()
    finally:
        sshd.pin()


def test_a_hashed_known_hosts_file_is_read(sshd):
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True, capture_output=True)
    try:
        assert "|1|" in sshd.known_hosts.read_text()
        assert ask(sshd.node())[W.key(HOSTNAME)].need()
    finally:
        sshd.pin()


def test_a_host_certificate_authority_is_left_to_the_ssh_program(tmp_path):
    authority = keygen(tmp_path / "ca")
    with running(tmp_path, f"HostCertificate={tmp_path / 'host-cert.pub'}") as server:
        subprocess.run(
            ["ssh-keygen", "-q", "-s", str(authority), "-I", "h", "-h", "-n", "127.0.0.1", f"{tmp_path / 'host'}.pub"],
            check=True,
        )
        public = pathlib.Path(f"{authority}.pub").read_text()
        server.known_hosts.write_text(f"@cert-authority [127.0.0.1]:* {public}")
        server.process.send_signal(1)
        time.sleep(0.3)
        assert ask(server.node())[W.key(HOSTNAME)].need()


def test_an_encrypted_key_without_an_agent_is_named(sshd, tmp_path):
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)], check=True)
    with pytest.raises(NodeError, match=r"locked.*passphrase"):
        ask(sshd.node(key_file=str(key)))


def test_what_debian_puts_into_everybodys_configuration_is_within_paramikos_reach(sshd, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes\n")
    node = sshd.node(ssh_options=(f"-F {config} -o UserKnownHostsFile={sshd.known_hosts}",))
    assert plan(node).via_ssh == ""
    assert plan(node).other_ways
    assert ask(node)[W.key(HOSTNAME)].need()


def test_a_login_that_only_ssh_knows_gets_its_turn_when_our_keys_are_refused(sshd, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host *\n GSSAPIAuthentication yes\n")
    stranger = sshd.node(
        key_file=str(keygen(tmp_path / "stranger")),
        ssh_options=(
            f"-F {config} -o UserKnownHostsFile={sshd.known_hosts} -o IdentityAgent=none -o IdentitiesOnly=yes",
        ),
    )
    with pytest.raises(NodeError, match="ssh says: ") as caught:
        ask(stranger)
    assert caught.value.reason == "key refused"


@pytest.mark.parametrize(
    "line", ["Match exec true", "Include ~/.ssh/more", "ProxyCommand nc %h %p", "PKCS11Provider x"]
)
def test_what_paramiko_cannot_honour_is_left_to_ssh_and_named(sshd, tmp_path, line):
    config = tmp_path / "config"
    config.write_text(f"Host *\n User me\n{line}\n")
    route = plan(sshd.node(ssh_options=(f"-F {config}",)))
    assert line.split()[0].lower() in route.via_ssh.lower()
    assert route.argv[0] == "ssh"
