"""The Slurm adapter against a Slurm of paper: what it looks at, what it changes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from ddlcheck.gates import slurm, slurmconf, slurmctl
from ddlcheck.gates import slurmkept as kept
from ddlcheck.gates.ask import Trouble, ask, look_again, read
from ddlcheck.gates.slurm import Node, Settings, script
from ddlcheck.gates.slurmctl import SlurmError, State

LOW = Trouble("memlock", "64 KiB")


class Paper:
    """Slurm's list of nodes, and what was done to it."""

    def __init__(self, size: int = 20, **reasons: tuple[str, str, str]) -> None:
        self.states = {}
        for index in range(1, size + 1):
            name = f"n{index}"
            state, user, reason = reasons.get(name, ("idle", "Unknown", ""))
            self.states[name] = State(name, state, time.time() - 30, user, reason)
            self.states[name].partitions = ["main"]
        self.asked = 0
        self.did: list[str] = []

    def node(self, name):
        self.asked += 1
        return self.states[name]

    def nodes(self):
        self.asked += 1
        return self.states

    def drain(self, name, reason):
        self.did.append(f"drain {name} {reason}")
        one = State(name, "drained", time.time(), "root", reason)
        one.partitions = ["main"]
        self.states[name] = one

    def resume(self, name):
        self.did.append(f"resume {name}")
        one = State(name, "idle", 0.0, "Unknown", "")
        one.partitions = ["main"]
        self.states[name] = one


@pytest.fixture
def settings(tmp_path):
    return Settings("n1", state=str(tmp_path / "run"), settle=0.0)


def check(settings, paper, *troubles):
    return Node(settings, paper, lambda: list(troubles)).check()


def test_a_bad_node_is_drained_with_the_promise_and_the_fault(settings):
    paper = Paper()
    assert check(settings, paper, LOW) == 1
    assert paper.did == ["drain n1 ddlcheck: memlock: 64 KiB"]


def test_a_second_look_changes_nothing(settings):
    paper = Paper()
    for _ in range(3):
        check(settings, paper, LOW)
    assert len(paper.did) == 1


def test_another_promise_changes_the_reason(settings):
    paper = Paper()
    check(settings, paper, LOW)
    check(settings, paper, LOW, Trouble("clock", "late"))
    assert paper.did[1:] == ["drain n1 ddlcheck: memlock, clock: 64 KiB"]


def test_a_node_that_is_ready_again_comes_back(settings):
    paper = Paper()
    check(settings, paper, LOW)
    assert check(settings, paper) == 0
    assert paper.did[1:] == ["resume n1"]


def test_it_comes_back_only_after_a_second_look(settings):
    paper = Paper()
    check(settings, paper, LOW)
    answers = iter([[], [LOW]])
    Node(settings, paper, lambda: next(answers)).check()
    assert len(paper.did) == 1
    check(settings, paper)
    assert paper.did[1:] == ["resume n1"]


CLOCK = Trouble("clock", "not synchronised")


def looked(settings, paper, *answers):
    """Run the health check with a gate that answers one after the other; return what it was given to look again."""
    said, looks = iter(answers), []
    Node(settings, paper, lambda: list(next(said)), looks.append).check()
    return looks


def test_what_has_passed_at_the_second_look_drains_nothing(settings):
    paper = Paper()
    assert looked(settings, paper, [CLOCK], []) == [slurm.LOOK_SECONDS]
    assert paper.did == []


def test_a_node_that_is_out_has_its_background_tier_look_at_every_check(settings):
    paper = Paper()
    assert looked(settings, paper, [CLOCK], [CLOCK]) == [slurm.LOOK_SECONDS]
    assert paper.did == ["drain n1 ddlcheck: clock: not synchronised"]
    assert looked(settings, paper, [CLOCK]) == [0.0]
    # Something else is new, and confirmed before the reason says so.
    assert looked(settings, paper, [CLOCK, LOW], [CLOCK]) == [slurm.LOOK_SECONDS]
    assert len(paper.did) == 1
    assert looked(settings, paper, [], []) == [slurm.LOOK_SECONDS]
    assert paper.did[1:] == ["resume n1"]


def test_no_second_look_is_asked_of_a_gate_that_cannot_judge(settings):
    assert looked(settings, Paper(), [Trouble("health_gate", "hangs")]) == []


def test_a_gate_that_took_long_is_not_asked_twice(settings, monkeypatch):
    monkeypatch.setattr(slurm, "PROMPT_SECONDS", 0.0)
    paper = Paper()
    assert looked(settings, paper, [CLOCK]) == []
    assert paper.did == ["drain n1 ddlcheck: clock: not synchronised"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "start ddlcheck.service"), (0.0, "--no-block start ddlcheck.service")]
)
def test_a_look_that_does_not_end_is_not_waited_for(tmp_path, monkeypatch, seconds, words):
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/words\nexec sleep 300\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    begun = time.monotonic()
    look_again(seconds)
    assert time.monotonic() - begun < 60
    assert (tmp_path / "words").read_text().strip() == words


def test_a_machine_without_systemd_is_not_looked_at_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    look_again(5.0)


def test_after_a_boot_its_own_drain_is_found_and_taken_back(settings):
    paper = Paper(n1=("drained", "root", "ddlcheck: memlock: 64 KiB"))
    check(settings, paper)
    assert paper.did == ["resume n1"]


def test_a_ready_node_asks_nothing_of_slurm(settings):
    paper = Paper()
    check(settings, paper)
    asked = paper.asked
    for _ in range(5):
        assert check(settings, paper) == 0
    assert paper.asked == asked


@pytest.mark.parametrize("state", ["drained", "draining", "down", "idle"])
def test_a_reason_of_somebody_else_is_never_touched(settings, state):
    paper = Paper(n1=(state, "alice", "bad DIMM"))
    check(settings, paper, LOW)
    check(settings, paper)
    assert paper.did == []
    assert paper.states["n1"].reason == "bad DIMM"


def test_a_reason_that_came_between_two_looks_is_not_touched(settings):
    paper = Paper()
    before = paper.nodes()
    paper.nodes = lambda: dict(before)
    paper.states = dict(before, n1=State("n1", "drained", time.time(), "alice", "bad DIMM"))
    check(settings, paper, LOW)
    assert paper.did == []


def test_a_down_node_is_not_resumed(settings):
    paper = Paper(n1=("down", "root", "ddlcheck: memlock: 64 KiB"))
    check(settings, paper)
    assert paper.did == []


def test_the_breaker_holds_back_and_says_so(settings, capsys):
    out = ("drained", "root", "ddlcheck: memlock: 64 KiB")
    paper = Paper(n2=out, n3=out)
    assert check(settings, paper, LOW) == 1
    assert paper.did == []
    assert "promise memlock is suspect" in capsys.readouterr().out
    assert "memlock" in kept.read(settings.state, "slurm")["suspect"]


def test_a_suspect_promise_stays_so_until_it_holds_here(settings):
    out = ("drained", "root", "ddlcheck: memlock: 64 KiB")
    paper = Paper(n2=out, n3=out)
    check(settings, paper, LOW)
    paper.resume("n2")
    paper.resume("n3")
    paper.did.clear()
    check(settings, paper, LOW)
    assert paper.did == []
    check(settings, paper)
    check(settings, paper, LOW)
    assert paper.did == ["drain n1 ddlcheck: memlock: 64 KiB"]


def test_another_promise_drains_beside_a_suspect_one(settings):
    out = ("drained", "root", "ddlcheck: memlock: 64 KiB")
    paper = Paper(n2=out, n3=out)
    check(settings, paper, LOW, Trouble("clock", "late"))
    assert paper.did == ["drain n1 ddlcheck: clock: late"]
    check(settings, paper, LOW)
    assert paper.did[1:] == ["resume n1"]


def test_one_too_many_of_those_that_went_together_comes_back(settings):
    paper = Paper()
    crowd = ("drained", "root", "ddlcheck: memlock: 64 KiB")

    def nodes():
        # The others are seen only after we went.
        if paper.did:
            for name in ("n2", "n3"):
                paper.states[name] = State(name, crowd[0], time.time() - 5, crowd[1], crowd[2])
                paper.states[name].partitions = ["main"]
        return paper.states

    paper.nodes = nodes
    check(settings, paper, LOW)
    assert paper.did == ["drain n1 ddlcheck: memlock: 64 KiB", "resume n1"]
    assert "memlock" in kept.read(settings.state, "slurm")["suspect"]


def test_a_gate_that_cannot_judge_drains_however_many_did(settings):
    out = ("drained", "root", "ddlcheck: health_gate: no intent")
    paper = Paper(**{f"n{i}": out for i in range(2, 21)})
    check(settings, paper, Trouble("health_gate", "no intent"))
    assert paper.did == ["drain n1 ddlcheck: health_gate: no intent"]


def test_without_drain_it_only_speaks(tmp_path, capsys):
    paper = Paper()
    settings = Settings("n1", state=str(tmp_path), drain=False)
    assert check(settings, paper, LOW) == 1
    assert paper.asked == 0
    assert "not ready: memlock: 64 KiB" in capsys.readouterr().out
    assert script(settings, "prolog", lambda: [LOW]) == 0


def test_a_silent_slurm_changes_nothing_and_is_not_a_pass(settings, capsys):
    paper = Paper()
    paper.nodes = lambda: (_ for _ in ()).throw(SlurmError("sinfo did not answer in time"))
    assert check(settings, paper, LOW) == 1
    assert "sinfo did not answer" in capsys.readouterr().out


def test_a_node_that_slurm_does_not_know_is_said(tmp_path, capsys):
    assert check(Settings("gone", state=str(tmp_path), settle=0.0), Paper(), LOW) == 1
    assert "Slurm knows no node gone" in capsys.readouterr().out


def test_a_dry_run_says_what_it_would_do(tmp_path, monkeypatch, capsys):
    settings = Settings("n1", state=str(tmp_path / "run"), dry_run=True)
    real = slurmctl.Slurm(time.monotonic() + 5, dry_run=True)
    line = "n1|main|idle|Unknown|Unknown|none\n"
    monkeypatch.setattr(real, "_run", lambda *argv: line if argv[0] == "sinfo" else pytest.fail(str(argv)))
    assert check(settings, real, LOW) == 1
    assert (
        "would run: scontrol update NodeName=n1 State=DRAIN Reason=ddlcheck: memlock: 64 KiB" in capsys.readouterr().out
    )
    assert not (tmp_path / "run").exists()


def test_a_prolog_refuses_a_bad_node_and_keeps_why(settings):
    assert script(settings, "prolog", list) == 0
    assert script(settings, "prolog", lambda: [LOW]) == 1
    assert kept.read(settings.state, "refused")["why"] == ["memlock: 64 KiB"]


def test_a_prolog_believes_a_fresh_word_that_a_promise_is_suspect(settings):
    record = {"at": time.time(), "out": False, "suspect": {"memlock": "many"}}
    kept.write(settings.state, "slurm", record)
    assert script(settings, "prolog", lambda: [LOW]) == 0
    assert script(settings, "prolog", lambda: [LOW, Trouble("clock", "late")]) == 1
    kept.write(settings.state, "slurm", {**record, "at": time.time() - settings.max_age - 1})
    assert script(settings, "prolog", lambda: [LOW]) == 1


def test_no_suspicion_covers_a_gate_that_cannot_judge(settings):
    kept.write(settings.state, "slurm", {"at": time.time(), "suspect": {"health_gate": "many"}})
    assert script(settings, "prolog", lambda: [Trouble("health_gate", "hangs")]) == 1


def test_slurmd_s_drain_for_our_prolog_becomes_ours(settings):
    paper = Paper()
    check(settings, paper)
    script(settings, "prolog", lambda: [LOW])
    paper.states["n1"] = State("n1", "drained", time.time(), "root", "Prolog error")
    paper.states["n1"].partitions = ["main"]
    check(settings, paper, LOW)
    assert paper.did == ["drain n1 ddlcheck: memlock: 64 KiB"]
    check(settings, paper)
    assert paper.did[1:] == ["resume n1"]


def test_slurmd_s_drain_for_another_s_prolog_is_left_alone(settings):
    paper = Paper(n1=("drained", "root", "Prolog error"))
    check(settings, paper, LOW)
    check(settings, paper)
    assert paper.did == []


def test_a_refusal_for_what_is_suspect_by_now_is_taken_back(settings):
    out = ("drained", "root", "ddlcheck: memlock: 64 KiB")
    paper = Paper(n1=("drained", "root", "Prolog error"), n2=out, n3=out)
    kept.write(settings.state, "refused", {"at": paper.states["n1"].since})
    check(settings, paper, LOW)
    assert paper.did == ["resume n1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_record_of_another_user_is_not_believed(settings):
    kept.write(settings.state, "slurm", {"at": time.time(), "suspect": {"memlock": "many"}})
    path = Path(settings.state, "slurm.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    os.chown(path, 65534, -1)
    assert kept.read(settings.state, "slurm") == {}
    assert script(settings, "prolog", lambda: [LOW]) == 1


def test_a_record_that_is_a_link_or_broken_is_not_believed(settings, tmp_path):
    kept.write(settings.state, "slurm", {"at": time.time(), "suspect": {"memlock": "many"}})
    path = Path(settings.state, "slurm.json")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept.read(settings.state, "slurm") == {}
    path.unlink()
    path.write_text('{"at": 1')
    assert kept.read(settings.state, "slurm") == {}


GOOD = json.dumps({"schema": 1, "node": "n1", "exit": 0, "verdicts": [
    {"status": "PASS", "promise": "memlock", "seen": "unlimited", "cause": ""}]})  # fmt: skip
BAD = GOOD.replace("PASS", "FAIL").replace('"cause": ""', '"cause": "64 KiB"')


@pytest.mark.parametrize(("status", "out", "err", "promise", "why"), [
    (1, BAD, "", "memlock", "64 KiB"),
    (3, BAD.replace("FAIL", "UNKNOWN"), "", "memlock", "64 KiB"),
    (2, "", "ddlcheck-node: /etc/ddlcheck/intent.json: No such file\n", "health_gate", "intent.json: No such file"),
    (2, '{"refused": "it is for n7"}', "", "health_gate", "it is for n7"),
    (0, "", "", "health_gate", "no verdicts"),
    (0, GOOD[:-5], "", "health_gate", "no verdicts"),
    (0, "{}", "", "health_gate", "no verdicts"),
    (0, "[]", "", "health_gate", "no verdicts"),
    (0, '{"verdicts": []}', "", "health_gate", "nothing was judged"),
    (0, BAD, "", "memlock", "64 KiB"),
    (1, GOOD, "", "health_gate", "every verdict is good"),
    (-9, GOOD, "", "health_gate", "signal 9"),
    (1, "Traceback", "ImportError: no module\n", "health_gate", "no module"),
    (127, "", "sh: not found", "health_gate", "127"),
])  # fmt: skip
def test_only_a_whole_yes_is_a_yes(status, out, err, promise, why):
    (trouble,) = read(status, out, err)
    assert trouble.promise == promise
    assert why in trouble.why


def test_a_good_answer_is_no_trouble():
    assert read(0, GOOD, "") == []


def test_a_gate_that_hangs_is_not_waited_for(tmp_path):
    hangs = tmp_path / "gate"
    hangs.write_text("#!/bin/sh\nsleep 300 & wait\n")
    hangs.chmod(0o755)
    begun = time.monotonic()
    (trouble,) = ask(str(hangs), 0.5)
    assert time.monotonic() - begun < 20
    assert trouble.promise == "health_gate"
    assert "hangs" in trouble.why


def test_a_gate_that_is_not_there_is_trouble(tmp_path):
    (trouble,) = ask(str(tmp_path / "none"), 5.0)
    assert "does not start" in trouble.why


SINFO = """\
ib1|main|idle|Unknown|Unknown|none
ib2|main|drained|1795450662|root|ddlcheck: memlock: 64 KiB | or so
ib2|debug|drained|1795450662|root|ddlcheck: memlock: 64 KiB | or so
ib3|main|drained*|1795450669|root|Prolog error
"""


def test_sinfo_is_read_as_it_is_written():
    """Captured from 22.05.8: sinfo -a -h -N -o '%N|%R|%T|%H|%u|%E' with SLURM_TIME_FORMAT=%s."""
    found = slurmctl.read(SINFO)
    assert list(found) == ["ib1", "ib2", "ib3"]
    assert (found["ib2"].partitions, found["ib2"].since, found["ib2"].ours) == (["main", "debug"], 1795450662.0, True)
    assert found["ib3"].drained
    assert found["ib1"].reason == ""
    downs, sizes = slurmctl.neighbours("ib1", found)
    assert sizes == {"main": 3}
    assert [(d.node, d.promises) for d in downs["main"]] == [("ib2", ("memlock",))]


def test_anything_else_from_sinfo_is_an_error():
    with pytest.raises(SlurmError, match="what it should not"):
        slurmctl.read("slurm_load_partitions: Unable to contact slurm controller\n")


FULL = {
    "HealthCheckProgram": f"{slurmconf.SCRIPTS}/healthcheck", "HealthCheckInterval": "300 sec", "HealthCheckNodeState": "ANY",
    "Prolog": f"{slurmconf.SCRIPTS}/prolog", "Epilog": f"{slurmconf.SCRIPTS}/epilog", "PrologFlags": "Alloc",
    "SchedulerParameters": "nohold_on_prolog_fail", "PropagateResourceLimits": "NONE", "PropagateResourceLimitsExcept": "MEMLOCK",
}  # fmt: skip


def test_a_whole_configuration_lacks_nothing():
    assert slurmconf.advise(FULL, max_age=600) == []


@pytest.mark.parametrize(("key", "value", "says"), [
    ("HealthCheckProgram", "(null)", "no node is drained"),
    ("HealthCheckProgram", "/usr/sbin/nhc", "have it call"),
    ("HealthCheckInterval", "0 sec", "never again"),
    ("HealthCheckInterval", "301 sec", "twice as long"),
    ("HealthCheckNodeState", "IDLE", "neither drained nor resumed"),
    ("Prolog", "(null)", "Prolog is not set"),
    ("Epilog", "/site/epilog", "have it call"),
    ("PrologFlags", "(null)", "lacks Alloc"),
    ("SchedulerParameters", "bf_max_job_test=50", "nohold_on_prolog_fail"),
    ("PropagateResourceLimitsExcept", "(null)", ""),
])  # fmt: skip
def test_what_is_lacking_is_said(key, value, says):
    found = slurmconf.advise({**FULL, key: value}, max_age=600)
    assert [says in one for one in found] == ([True] if says else [])


@pytest.mark.parametrize(("limits", "spared", "carried"), [
    ("ALL", "(null)", True), ("MEMLOCK,STACK", "(null)", True), ("STACK", "(null)", False), ("NONE", "(null)", False),
    ("(null)", "MEMLOCK", False), ("(null)", "STACK", True), ("(null)", "ALL", False),
])  # fmt: skip
def test_whether_a_shell_s_memlock_goes_along(limits, spared, carried):
    config = {"PropagateResourceLimits": limits, "PropagateResourceLimitsExcept": spared}
    assert slurmconf.propagates(config) is carried


@pytest.mark.parametrize("words", [[], ["jump"], ["health", "--node"], ["health", "--nod", "x"], ["health"]])
def test_words_that_cannot_be_meant_are_no_pass(words, monkeypatch):
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    assert slurm.main(words) == 2


def test_a_health_check_that_still_runs_is_not_overtaken(tmp_path, capsys):
    """What it saw first must not have the last word."""
    with kept.alone(str(tmp_path)) as first:
        assert first
        assert slurm.main(["health", "--node", "n1", "--state", str(tmp_path), "--launcher", "/nowhere"]) == 1
        assert "still runs" in capsys.readouterr().out
    with kept.alone(str(tmp_path)) as again:
        assert again
