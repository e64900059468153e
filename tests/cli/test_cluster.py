"""`ddlcheck cluster` over real sshds on loopback: a bad node is one line and status 3, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.sshd import keygen, running


class Cluster:
    """A few sshds as nodes, and the verb."""

    def __init__(self, folder):
        self.folder = folder
        self.hosts = {}

    def add(self, name, server, **variables):
        self.hosts[name] = {
            "ansible_host": "127.0.0.1",
            "ansible_port": server.port,
            "ansible_ssh_private_key_file": str(server.folder / "user"),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={server.known_hosts} -o IdentityAgent=none",
            "ansible_python_interpreter": "/usr/bin/python3",
            **variables,
        }

    @property
    def inventory(self):
        path = self.folder / "inv.yml"
        path.write_text(json.dumps({"all": {"hosts": self.hosts}}))
        return str(path)

    def argv(self, *words):
        return [sys.executable, "-m", "ddlcheck", "cluster", self.inventory, "--only", "hostname", *words]

    def run(self, *words):
        return subprocess.run(self.argv(*words), capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def nodes(tmp_path, sshd):
    cluster = Cluster(tmp_path)
    cluster.add("good", sshd)
    return cluster


def verdicts(path):
    return {node: v for v in json.loads(path.read_text())["verdicts"] for node in v["nodes"]}


@pytest.mark.parametrize(
    ("command", "reason", "says"),
    [
        pytest.param("sleep 300", "timeout", "no answer in time", id="it hangs"),
        pytest.param("cat /dev/zero", "too much", "more than 8 MiB", id="it prints megabytes"),
        pytest.param("head -c 999 /dev/urandom", "garbage", "bytes that are no answer", id="it prints garbage"),
        pytest.param("exit 1", "closed", "without an answer", id="it says nothing"),
    ],
)
def test_a_bad_node_is_one_line_and_could_not_tell(nodes, tmp_path, command, reason, says):
    (tmp_path / "bad").mkdir()
    with running(tmp_path / "bad", f"ForceCommand={command}") as bad:
        nodes.add("bad", bad)
        # Only who hangs has to be waited for; the others answer, and a busy machine may take its time.
        seconds = "6" if reason == "timeout" else "60"
        out = nodes.run("--timeout", seconds, "--json", str(tmp_path / "out.json"))
    found = verdicts(tmp_path / "out.json")
    assert found["bad"]["status"] == "UNKNOWN"
    assert found["bad"]["evidence"]["reason"] == reason
    assert found["good"]["evidence"], "the others are judged all the same"
    lines = [line for line in out.stdout.splitlines() if "bad" in line and line.startswith("UNKNOWN")]
    assert len(lines) == 1
    assert says in lines[0]
    assert out.returncode in (1, 3)
    assert out.stderr == ""


def test_a_node_that_is_down_refuses_the_key_or_is_another_is_told_apart(nodes, tmp_path, sshd):
    (tmp_path / "k").mkdir()
    nodes.add("down", sshd, ansible_port=1)
    nodes.add("stranger", sshd, ansible_ssh_private_key_file=str(keygen(tmp_path / "other")),
              ansible_ssh_common_args=f"-F none -o UserKnownHostsFile={sshd.known_hosts} -o IdentitiesOnly=yes -o IdentityAgent=none")  # fmt: skip
    known = tmp_path / "known"
    public = keygen(tmp_path / "k" / "k").with_suffix(".pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{sshd.port} {public[0]} {public[1]}\n")
    nodes.add("impostor", sshd, ansible_ssh_common_args=f"-F none -o UserKnownHostsFile={known}")
    nodes.add("nopython", sshd, ansible_python_interpreter="/nowhere/python3")
    out = nodes.run("--json", str(tmp_path / "out.json"))
    reasons = {node: v["evidence"].get("reason") for node, v in verdicts(tmp_path / "out.json").items()}
    assert reasons["down"] == "refused"
    assert reasons["stranger"] == "key refused"
    assert reasons["impostor"] == "host key changed"
    assert reasons["nopython"] == "no python"
    assert reasons["good"] is None
    assert out.returncode in (1, 3)


def test_all_nodes_down_is_could_not_tell(nodes, sshd):
    nodes.hosts.clear()
    nodes.add("down", sshd, ansible_port=1)
    out = nodes.run()
    assert out.returncode == 3
    assert out.stdout.startswith("COULD NOT TELL")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_interrupted_in_the_middle_it_leaves_nothing_on_the_node(nodes, tmp_path, sent):
    (tmp_path / "slow").mkdir()
    marker = f"sleep 3{os.getpid()}"
    # The node's clock tool hangs: the agent waits for it when we are interrupted.
    fake = tmp_path / "bin"
    fake.mkdir()
    with running(tmp_path / "slow", f'ForceCommand=sh -c "$SSH_ORIGINAL_COMMAND" & exec {marker}') as slow:
        nodes.add("slow", slow)
        child = subprocess.Popen(
            nodes.argv("--timeout", "60"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(100):
            if subprocess.run(["pgrep", "-fx", marker], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        began = time.monotonic()
        child.send_signal(sent)
        _, err = child.communicate(timeout=30)
    assert child.returncode != 0, err
    assert time.monotonic() - began < 10, "whoever interrupts does not wait for a node's deadline"
    if sent == signal.SIGINT:
        assert child.returncode == 130, err
        assert err.strip().endswith("interrupted")
    for _ in range(60):
        if subprocess.run(["pgrep", "-f", "ddlcheck-agent"], check=False, capture_output=True).returncode == 1:
            break
        time.sleep(0.1)
    else:
        pytest.fail("an agent outlived its asker")


def test_what_was_seen_can_be_judged_again(nodes, tmp_path):
    first = nodes.run("--save", str(tmp_path / "kept"), "--json", str(tmp_path / "a.json"))
    again = subprocess.run(
        [sys.executable, "-m", "ddlcheck", "cluster", "--replay", str(tmp_path / "kept"), "--only", "hostname", "--json", str(tmp_path / "b.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == first.returncode

    def judged(path):
        return [{k: x for k, x in v.items() if k != "ms"} for v in json.loads(path.read_text())["verdicts"]]

    assert judged(tmp_path / "a.json") == judged(tmp_path / "b.json")


def test_a_replay_of_cut_or_edited_files_is_refused(nodes, tmp_path):
    nodes.run("--save", str(tmp_path / "kept"))
    intent = tmp_path / "kept" / "intent.json"
    whole = intent.read_text()
    for text in (whole[:-20], whole.replace("unlimited", "64"), "[]", whole.replace('"version": 1', '"version": 2')):
        intent.write_text(text)
        out = subprocess.run(
            [sys.executable, "-m", "ddlcheck", "cluster", "--replay", str(tmp_path / "kept")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert out.returncode == 2
        assert out.stderr.count("\n") == 1
        assert out.stdout == ""


def test_a_report_to_stdout_is_nothing_but_the_report(nodes):
    out = nodes.run("--json", "-")
    assert json.loads(out.stdout)["nodes"] == ["good"]


def test_a_reader_that_goes_away_is_no_bug(nodes):
    out = subprocess.run(
        ["sh", "-c", f"{' '.join(nodes.argv('-v'))} | head -1"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in out.stderr
    assert "bug" not in out.stderr
