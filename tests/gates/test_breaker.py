"""The circuit breaker: who may go, who is one too many, what a reason says."""

from __future__ import annotations

import pytest

from ddlcheck.gates import breaker
from ddlcheck.gates.breaker import Down

RULE = {"share": 0.1, "window": 600.0, "now": 10_000.0}


def out(count: int, *, promise: str = "memlock", since: float = 9_900.0) -> list[Down]:
    return [Down(f"n{i:03}", [promise], since) for i in range(count)]


def test_the_first_node_may_go_whatever_the_share():
    assert breaker.allowed(4, 0.1) == 1
    assert breaker.tripped("memlock", {"main": []}, {"main": 4}, **RULE) == ""


@pytest.mark.parametrize(("gone", "may"), [(0, True), (9, True), (10, False), (50, False)])
def test_a_tenth_of_a_hundred_may_go_and_no_more(gone, may):
    why = breaker.tripped("memlock", {"main": out(gone)}, {"main": 100}, **RULE)
    assert (why == "") is may
    assert may or f"{gone} of the 100 nodes of partition main" in why


def test_what_went_for_another_promise_does_not_count():
    assert not breaker.tripped("memlock", {"main": out(50, promise="clock")}, {"main": 100}, **RULE)


def test_what_went_before_the_window_does_not_count():
    assert not breaker.tripped("memlock", {"main": out(50, since=10_000 - 601)}, {"main": 100}, **RULE)


def test_one_full_partition_of_several_is_enough():
    parts = {"big": out(3), "small": out(3)}
    assert "partition small" in breaker.tripped("memlock", parts, {"big": 1000, "small": 30}, **RULE)


def test_a_node_that_cannot_judge_goes_whoever_went_before():
    gone = out(100, promise=breaker.GATE)
    assert not breaker.tripped(breaker.GATE, {"main": gone}, {"main": 100}, **RULE)
    assert not breaker.surplus(
        Down("n999", [breaker.GATE], 9_999.0), breaker.GATE, {"main": gone}, {"main": 100}, **RULE
    )


def test_of_many_that_go_at_once_the_first_ones_stay_out():
    """Each looks afterwards, and all of them come to the same answer."""
    everyone = [Down(f"n{i:03}", ["clock"], 9_990.0 + i // 7) for i in range(40)]
    stay = [
        me.node for me in everyone
        if not breaker.surplus(me, "clock", {"main": [d for d in everyone if d is not me]}, {"main": 100}, **RULE)
    ]  # fmt: skip
    assert stay == [f"n{i:03}" for i in range(10)]


@pytest.mark.parametrize("text", ["ddlcheck: memlock: 64 KiB", 'ddlcheck: memlock, clock: it\'s `late` | "so"'])
def test_a_reason_says_its_promises(text):
    named = breaker.promises(text)
    assert named[0] == "memlock"
    again = breaker.reason(named, text.partition(": ")[2].partition(": ")[2])
    assert breaker.ours(again)
    assert breaker.promises(again) == named
    assert not set("\"'`|\\\n") & set(again)


@pytest.mark.parametrize("text", ["bad DIMM", "NHC: check_fs_mount", "ddlcheck", "see ddlcheck: memlock: x", ""])
def test_what_others_wrote_is_not_ours(text):
    assert not breaker.ours(text)
    assert breaker.promises(text) == ()


def test_a_reason_is_one_short_line():
    text = breaker.reason(["memlock"], "a\nb\x1b[31m" + "x" * 1000)
    assert len(text) <= 200
    assert text.isprintable()
