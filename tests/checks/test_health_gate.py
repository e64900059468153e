"""The promise `health_gate`, on made answers: what the role's own test captures from real nodes is judged there."""

from __future__ import annotations

import json

import pytest

from ddlcheck.checks import health_gate
from ddlcheck.declared import defaults
from ddlcheck.intent import Intent
from ddlcheck.judging import one
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE

BOOT = "5aaf7306-1e06-44aa-829d-5946f5bfb226"
INTENT = Intent("n1", {**defaults(), "hosts_file_address": "192.0.2.1"})


def seen(**more):
    """Return what a node with a sound gate says."""
    head = f'{{"hash":"{"0" * 64}","made":1795451104,"declared":"{INTENT.digest()}","addresses":['
    status = {"boot": BOOT, "since_boot": 1000.0, "exit": 0}
    good = {
        "files": Answer(data={path: {"kind": "file"} for path in (health_gate.LAUNCHER, health_gate.INTENT)}),
        "intent": Answer(head, rc=0), "status": Answer(json.dumps(status)), "timer": Answer("active\n", rc=0),
        "uptime": Answer("1100.25 2000.00\n"), "boot": Answer(f"{BOOT}\n"),
    }  # fmt: skip
    return {**good, **more}


def judge(**more):
    return one.judge("health_gate", health_gate, "n1", seen(**more), INTENT)


def test_a_gate_that_looked_lately_is_kept():
    verdict = judge()
    assert (verdict.status, verdict.evidence["age_s"], verdict.evidence["exit"]) == (Status.PASS, 100, 0)


def test_a_gate_that_says_no_is_a_gate_that_works():
    said = json.dumps({"boot": BOOT, "since_boot": 1000.0, "exit": 1})
    assert judge(status=Answer(said)).status is Status.PASS


def gone(path):
    return Answer(
        data={
            p: {"kind": "file"} if p != path else {"why": "missing"} for p in (health_gate.LAUNCHER, health_gate.INTENT)
        }
    )


@pytest.mark.parametrize(("answers", "cause"), [
    ({"files": gone(health_gate.LAUNCHER)}, "there is no /usr/local/sbin/ddlcheck-node"),
    ({"files": gone(health_gate.INTENT)}, "there is no /etc/ddlcheck/intent.json"),
    ({"intent": Answer('{"hash":"1","made":1,"declared":"beef","x', rc=0)}, "not of this inventory as it is now"),
    ({"timer": Answer("inactive\n", rc=3)}, "ddlcheck.timer is stopped"),
    ({"status": Answer(why="missing")}, "has not run"),
    ({"status": Answer(json.dumps({"boot": "another", "since_boot": 1.0, "exit": 0}))}, "has not run"),
    ({"uptime": Answer("9000.0 1\n")}, "is older than 900 s"),
    ({"status": Answer(json.dumps({"boot": BOOT, "since_boot": 1000.0, "exit": 2}))}, "cannot be used"),
], ids=["no gate", "no intent", "another intent", "timer stopped", "never ran", "another boot", "too old", "refused"])  # fmt: skip
def test_what_is_wrong_is_named(answers, cause):
    verdict = judge(**answers)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "health_gate")
    assert cause in verdict.cause


@pytest.mark.parametrize("want", list(seen()))
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    assert judge(**{want: answer}).status is not Status.PASS


def test_what_another_user_may_not_see_is_unknown():
    assert (
        judge(files=Answer(data={p: {"why": "denied"} for p in (health_gate.LAUNCHER, health_gate.INTENT)})).status
        is Status.UNKNOWN
    )
