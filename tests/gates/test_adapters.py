"""The adapters: thin over one exit status, and the rules of each scheduler as documented. Schedulers are stand-ins here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types

import pytest
import yaml

from ddlcheck.declared import defaults
from ddlcheck.gates.adapters import ADAPTERS

READY, BAD, REFUSED, DARK = 0, 1, 2, 3
NO_YES = (BAD, REFUSED, DARK)


def files(name, **values):
    """Return an adapter's files, by the last part of their paths."""
    return {file.path.rpartition("/")[2]: file for file in ADAPTERS[name]({**defaults(), **values}).files}


@pytest.fixture
def gate(tmp_path):
    """A stand-in for ddlcheck-node that says what it is told."""
    path = tmp_path / "ddlcheck-node"

    def says(status, text="FAIL n1 memlock: seen 64 KiB", after=""):
        path.write_text(f"#!/bin/sh\n{after}\necho '{text}'\necho more\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    return says


@pytest.fixture
def run(tmp_path):
    """Run one of an adapter's shell files with the stand-in; return its exit status and words."""

    def start(name, file, path, words=(), **values):
        script = tmp_path / "hook"
        script.write_text(files(name, **values)[file].text.replace("/usr/local/sbin/ddlcheck-node", path))
        return subprocess.run(
            ["/bin/bash", str(script), *words], capture_output=True, text=True, timeout=60, check=False
        )

    return start


# ---- LSF: 0 lets the job in, anything else puts it back to PEND, 99 would end it


@pytest.mark.parametrize(
    ("status", "lets_in"), [(READY, True), *((status, False) for status in NO_YES), (99, False), (126, False)]
)
def test_lsf_lets_a_job_in_on_0_only_and_never_ends_it(gate, run, status, lets_in):
    done = run("lsf", "ddlcheck-lsf", gate(status))
    assert done.returncode == (0 if lets_in else 1)
    assert ("memlock" in done.stderr) is not lets_in


def test_lsf_without_a_gate_lets_nothing_in(run):
    assert run("lsf", "ddlcheck-lsf", "/nowhere/ddlcheck-node").returncode == 1


def test_lsf_does_not_wait_for_a_gate_that_hangs(gate, run):
    assert run("lsf", "ddlcheck-lsf", gate(READY, after="sleep 30"), health_gate_timeout=-4).returncode == 1


def test_lsf_only_says_what_it_would_do_where_that_is_declared(gate, run):
    done = run("lsf", "ddlcheck-lsf", gate(BAD), health_gate_drain=False)
    assert (done.returncode, "would keep the job off" in done.stderr) == (0, True)


# ---- node-problem-detector: 0 no problem, 1 a problem, 2 unknown; its message is cut at 80 characters


@pytest.mark.parametrize(("status", "means"), [(READY, 0), (BAD, 1), (REFUSED, 2), (DARK, 2), (127, 2)])
def test_kubernetes_hears_no_problem_a_problem_or_unknown(gate, run, status, means):
    done = run("kubernetes", "ddlcheck.sh", gate(status, "x" * 200))
    assert (done.returncode, len(done.stdout.rstrip("\n")), done.stdout.count("\n")) == (means, 80, 1)


def test_kubernetes_gets_a_monitor_whose_rule_names_its_condition():
    monitor = json.loads(files("kubernetes", health_gate_interval=120)["ddlcheck-monitor.json"].text)
    (condition,), (rule,) = monitor["conditions"], monitor["rules"]
    assert (monitor["plugin"], rule["type"], rule["condition"]) == ("custom", "permanent", condition["type"])
    assert monitor["pluginConfig"]["invoke_interval"] == "120s"
    assert rule["path"] == "/config/plugin/ddlcheck.sh"


def test_kubernetes_init_container_asks_for_the_last_verdict_and_its_age():
    pod = yaml.safe_load(files("kubernetes", health_gate_max_age=600)["ddlcheck-init-container.yml"].text)
    (init,) = pod["spec"]["initContainers"]
    assert init["command"][-2:] == ["--last", "600"]
    assert {m["name"] for m in init["volumeMounts"]} == {v["name"] for v in pod["spec"]["volumes"]}


def test_the_last_verdict_is_repeated_while_it_is_fresh_and_refused_afterwards(launcher, kept, tmp_path):
    from tests.gates.conftest import gate as start

    state = str(tmp_path / "run" / "status.json")
    path = kept(only=["resources"], resources_files=[{"path": "/nowhere"}])
    assert start(launcher, "--last", "60", "--status", state).returncode == 3
    first = start(launcher, "--intent", path, "--status", state)
    again = start(launcher, "--last", "60", "--status", state)
    assert (again.returncode, again.stdout) == (1, first.stdout)
    with open(state, encoding="ascii") as file:
        body = json.load(file)
    with open(state, "w", encoding="ascii") as file:
        file.write(json.dumps({**body, "since_boot": body["since_boot"] - 100}) + "\n")
    stale = start(launcher, "--last", "60", "--status", state)
    assert (stale.returncode, stale.stdout) == (3, "")
    assert "old, more than 60 s" in stale.stderr


# ---- NHC: a function that calls die


def test_nhc_dies_with_the_gate_s_first_line(gate, tmp_path):
    text = files("nhc")["ddlcheck.nhc"].text
    for status in (READY, *NO_YES):
        script = f'die() {{ shift; echo "died: $*"; }}\n{text.replace("/usr/local/sbin/ddlcheck-node", gate(status))}\ncheck_ddlcheck; echo "rc=$?"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.endswith(f"rc={int(status != READY)}\n")
        assert ("died: check_ddlcheck:  FAIL n1 memlock: seen 64 KiB (exit status" in done.stdout) is (status != READY)


# ---- systemd


def test_systemd_s_units_are_the_role_s(tmp_path):
    found = files("systemd", health_gate_textfile="/var/lib/node_exporter/ddlcheck.prom")
    assert "--textfile /var/lib/node_exporter/ddlcheck.prom" in found["ddlcheck.service"].text
    assert "OnUnitActiveSec=300" in found["ddlcheck.timer"].text
    assert "LimitMEMLOCK=" not in found["ddlcheck.service"].text
    for file in found.values():
        (tmp_path / file.path.rpartition("/")[2]).write_text(file.text)
    for name in found:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        said = [line for line in done.stderr.splitlines() if "ddlcheck" in line and "not executable" not in line]
        assert said == []


# ---- OpenPBS: a stand-in for its `pbs` module, which behaves as documented


class Ended(Exception):  # noqa: N818 - it is no error
    """What `accept` and `reject` of PBS do: the hook goes no further."""


class Node(types.SimpleNamespace):
    pass


def pbs(kind, state=0, comment="", config=None, *, server=True):
    """Return a `pbs` module for one event, and what became of it."""
    module = types.ModuleType("pbs")
    module.EXECJOB_BEGIN, module.EXECHOST_PERIODIC = 128, 16384
    module.ND_FREE, module.ND_OFFLINE, module.ND_DOWN = 0, 1, 2
    module.LOG_WARNING = 4
    module.hook_config_filename = config
    module.vnode = Node(state=None, comment=None)
    module.said, module.rerun = [], 0

    def end(word):
        def finish(text=""):
            module.ended = (word, text)
            raise Ended

        return finish

    def rerun():
        module.rerun += 1

    def node(_name):
        if not server:
            raise RuntimeError("no server")
        return Node(state=state, comment=comment)

    event = Node(
        type=kind, vnode_list={"n1": module.vnode}, job=Node(rerun=rerun), accept=end("accept"), reject=end("reject")
    )
    module.event = lambda: event
    module.server = lambda: Node(vnode=node)
    module.get_local_nodename = lambda: "n1"
    module.logmsg = lambda _level, text: module.said.append(text)
    return module


def hook(module, tmp_path, monkeypatch, path, **config):
    """Run the hook as PBS does."""
    settings = tmp_path / "ddlcheck.json"
    settings.write_text(json.dumps({"gate": [path], "timeout": 5, "drain": True, **config}))
    module.hook_config_filename = module.hook_config_filename or str(settings)
    monkeypatch.setitem(sys.modules, "pbs", module)
    with pytest.raises(Ended):
        exec(compile(files("pbs")["ddlcheck.py"].text, "hook", "exec"), {"__name__": "hook"})  # noqa: S102
    return module


BEGIN, PERIODIC = 128, 16384


def test_pbs_lets_a_job_begin_on_a_ready_node(gate, tmp_path, monkeypatch):
    done = hook(pbs(BEGIN), tmp_path, monkeypatch, gate(READY))
    assert (done.ended, done.rerun, done.vnode.state) == (("accept", ""), 0, None)


@pytest.mark.parametrize("status", NO_YES)
def test_pbs_sends_the_job_elsewhere_and_takes_the_node_offline(gate, tmp_path, monkeypatch, status):
    done = hook(pbs(BEGIN), tmp_path, monkeypatch, gate(status))
    assert (done.ended[0], done.rerun, done.vnode.state) == ("reject", 1, done.ND_OFFLINE)
    assert done.vnode.comment == "ddlcheck: FAIL n1 memlock: seen 64 KiB"
    assert "memlock" in done.ended[1]


def test_pbs_leaves_an_administrator_s_word_alone(gate, tmp_path, monkeypatch):
    for server in (True, False):
        done = hook(
            pbs(PERIODIC, state=1, comment="disk swap, ask Ann", server=server), tmp_path, monkeypatch, gate(BAD)
        )
        assert done.ended == ("accept", "")
        assert (done.vnode.state, done.vnode.comment) == (
            (None, None) if server else (1, "ddlcheck: FAIL n1 memlock: seen 64 KiB")
        )
        done = hook(
            pbs(PERIODIC, state=1, comment="disk swap, ask Ann", server=server), tmp_path, monkeypatch, gate(READY)
        )
        assert (done.vnode.state, done.vnode.comment) == (None, None)


def test_pbs_brings_back_what_it_took_away_and_only_that(gate, tmp_path, monkeypatch):
    back = hook(pbs(PERIODIC, state=1, comment="ddlcheck: FAIL n1"), tmp_path, monkeypatch, gate(READY))
    assert (back.vnode.state, back.vnode.comment) == (back.ND_FREE, None)
    for state, comment in ((0, ""), (2, "down"), (1, "")):
        done = hook(pbs(PERIODIC, state=state, comment=comment), tmp_path, monkeypatch, gate(READY))
        assert done.vnode.state is None


def test_pbs_only_says_what_it_would_do_where_that_is_declared(gate, tmp_path, monkeypatch):
    done = hook(pbs(BEGIN), tmp_path, monkeypatch, gate(BAD), drain=False)
    assert (done.ended[0], done.rerun, done.vnode.state) == ("accept", 0, None)
    assert "would take n1 offline" in done.said[0]


def test_pbs_without_a_gate_or_with_one_that_hangs_lets_nothing_in(gate, tmp_path, monkeypatch):
    assert hook(pbs(BEGIN), tmp_path, monkeypatch, "/nowhere/gate").ended[0] == "reject"
    done = hook(pbs(BEGIN), tmp_path, monkeypatch, gate(READY, after="sleep 30"), timeout=-4)
    assert (done.ended[0], "did not end" in done.vnode.comment) == ("reject", True)


def test_pbs_with_settings_that_cannot_be_read_lets_nothing_in(gate, tmp_path, monkeypatch):
    done = hook(pbs(BEGIN, config="/nowhere.json"), tmp_path, monkeypatch, gate(READY))
    assert (done.ended[0], "the hook failed" in done.vnode.comment) == ("reject", True)


# ---- the verb


def adapter(*words):
    return subprocess.run(
        [sys.executable, "-m", "ddlcheck", "adapter", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_adapter_can_be_looked_at_and_written(name, tmp_path):
    shown = adapter(name, "--dry-run")
    assert (shown.returncode, list(tmp_path.iterdir())) == (0, [])
    done = adapter(name, "--out", str(tmp_path))
    assert done.returncode == 0
    for file in ADAPTERS[name](defaults()).files:
        path = tmp_path / file.path.lstrip("/")
        assert path.read_text() == file.text
        assert file.text in shown.stdout
        assert os.stat(path).st_mode & 0o777 == int(file.mode, 8)
        assert "@" not in file.text.replace("$@", "")


@pytest.mark.parametrize(("words", "says"), [
    (["pbs"], "--out DIR"), (["pbs", "--out", "x", "--dry-run"], "--out DIR"), (["slum", "--dry-run"], "invalid choice"),
    (["pbs", "--dry-run", "-e", "memlock_limit=1"], "no variable of the role"), (["pbs", "--dry-run", "-e", "health_gate_timeout=soon"], "health_gate_timeout"),
    (["pbs", "--dry-run", "-e", "health_gate_timeout=0"], "from 1 to 55"),
    (["pbs", "--dry-run", "-e", "health_gate_timeout=56"], "from 1 to 55"),
    (["pbs", "--dry-run", "-e", "health_gate_breaker_share=1.5"], "at most 1"),
    (["lsf", "--dry-run", "-e", "health_gate_drain=maybe"], "health_gate_drain"),
])  # fmt: skip
def test_bad_usage_is_one_sentence(words, says):
    done = adapter(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


@pytest.mark.parametrize(("word", "drains"), [("false", "no"), ("no", "no"), ("true", "yes")])
def test_a_truth_that_is_a_word_is_taken_for_what_it_means(word, drains):
    done = adapter("lsf", "--dry-run", "-e", f"health_gate_drain={word}")
    with_it = ADAPTERS["lsf"]({**defaults(), "health_gate_drain": drains == "yes"}).files[0].text
    assert with_it in done.stdout
    assert with_it != ADAPTERS["lsf"]({**defaults(), "health_gate_drain": drains != "yes"}).files[0].text
