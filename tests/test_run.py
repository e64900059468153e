"""Gathering and judging: what cannot be seen, crashes or hangs is UNKNOWN, and nothing is forgotten."""

from __future__ import annotations

import threading
import time
import types

import pytest

from ddlcheck import run
from ddlcheck import wants as W
from ddlcheck.errors import NodeError, NotSeen, UsageError
from ddlcheck.intent import Intent
from ddlcheck.inventory import Node
from ddlcheck.verdict import Status, Verdict, exit_status

NODES = [Node(name, name) for name in ("a", "b", "c")]
CLUSTER = {node.name: {} for node in NODES}
INTENTS = {name: Intent(name, {}, CLUSTER) for name in CLUSTER}


def check(judge=lambda seen, intent: Verdict(Status.PASS, "fine"), together=None, wants=None):
    module = types.SimpleNamespace(
        __name__="promise", __doc__="It is so.", judge=judge, wants=lambda intent: wants or {"x": W.read("/x")}
    )
    if together:
        module.judge_together = together
    return {"promise": module}


def answering(_node, wanted, _seconds):
    return {key: W.Answer("text") for key in wanted}


def road(checks, ask=answering, **options):
    wanted = run.plan(checks, INTENTS, [n.name for n in NODES])
    return run.judge(checks, INTENTS, run.gather(NODES, wanted, ask, **options))


def by_node(verdicts):
    return {node: v.status for v in verdicts for node in v.nodes}


def test_every_node_gets_a_verdict_for_every_promise():
    assert by_node(road(check())) == dict.fromkeys("abc", Status.PASS)


def test_equal_wants_are_asked_once():
    checks = {"p": check()["promise"], "q": check()["promise"]}
    assert [len(w) for w in run.plan(checks, INTENTS, CLUSTER).values()] == [1, 1, 1]


def test_a_node_that_cannot_be_asked_is_unknown_and_the_others_are_judged():
    def ask(node, wanted, seconds):
        if node.name == "b":
            raise NodeError("refused", "connection refused")
        return answering(node, wanted, seconds)

    verdicts = road(check(), ask)
    assert by_node(verdicts) == {"a": Status.PASS, "b": Status.UNKNOWN, "c": Status.PASS}
    assert next(v for v in verdicts if v.nodes == ("b",)).evidence["reason"] == "refused"
    assert exit_status(verdicts) == 3


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(lambda seen, intent: 1 / 0, id="a judge that crashes"),
        pytest.param(lambda seen, intent: seen["nope"], id="a judge that asks for what it did not want"),
        pytest.param(lambda seen, intent: None, id="a judge that says nothing"),
        pytest.param(lambda seen, intent: (_ for _ in ()).throw(NotSeen("gone")), id="a judge that cannot see"),
    ],
)
def test_what_cannot_judge_is_unknown(judge):
    assert set(by_node(road(check(judge))).values()) == {Status.UNKNOWN}


def test_a_crash_while_judging_together_is_unknown_for_all():
    verdicts = road(check(together=lambda seen, intents: 1 / 0))
    assert set(by_node(verdicts).values()) == {Status.UNKNOWN}


def test_what_the_node_left_out_is_not_asked_and_so_unknown():
    verdicts = road(check(judge=lambda seen, intent: Verdict(Status.PASS, seen["x"].need())), lambda n, w, s: {})
    assert set(by_node(verdicts).values()) == {Status.UNKNOWN}


def test_together_only_sees_nodes_that_answered():
    def ask(node, wanted, seconds):
        if node.name == "c":
            raise NodeError("timeout", "late")
        return answering(node, wanted, seconds)

    def together(seen, intents):
        assert list(seen) == list(intents) == ["a", "b"]
        return [Verdict(Status.FAIL, "differs", nodes=("a",))]

    verdicts = road(check(together=together), ask)
    assert by_node(verdicts) == {"a": Status.FAIL, "b": Status.PASS, "c": Status.UNKNOWN}
    assert len([v for v in verdicts if "a" in v.nodes]) == 1, "a's own pass gives way to what the nodes say together"


def test_at_most_forks_nodes_are_asked_at_once():
    busy, most, lock = set(), [0], threading.Lock()

    def ask(node, wanted, seconds):
        with lock:
            busy.add(node.name)
            most[0] = max(most[0], len(busy))
        time.sleep(0.02)
        with lock:
            busy.discard(node.name)
        return answering(node, wanted, seconds)

    road(check(), ask, forks=2)
    assert most[0] == 2


def test_an_interrupt_starts_nothing_new():
    asked = []

    def ask(node, wanted, seconds):
        asked.append(node.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.gather(NODES, run.plan(check(), INTENTS, CLUSTER), ask, forks=1)
    assert asked == ["a"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], 3),
        ([Status.SKIP], 3),
        ([Status.PASS, Status.SKIP], 0),
        ([Status.WARN], 0),
        ([Status.PASS, Status.UNKNOWN], 3),
        ([Status.UNKNOWN, Status.FAIL], 1),
    ],
)
def test_exit_status_fails_closed(statuses, status):
    assert exit_status(Verdict(s, "x") for s in statuses) == status


@pytest.mark.parametrize(
    ("only", "skip", "says"),
    [("memlok", "", "did you mean memlock?"), ("", "clok", "did you mean clock?"), ("clock", "clock", "no check")],
)
def test_a_misspelt_check_is_refused(only, skip, says):
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        run.select(only, skip)
