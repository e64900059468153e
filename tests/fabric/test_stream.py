import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.fabric import Measurement
from ddlcheck.fabric.names import Names
from ddlcheck.fabric.stream import CIRCLES, KEEP, MARK, Collector, parse

PAIR = {
    "t": "pair", "r": 0, "a": 0, "b": 1, "bad": 0, "at": 0, "via": ["net:eth0", "net:eth0"],
    "lat": [{"size": 8, "n": 9, "median": 1.5, "p99": 2, "min": 1}],
    "bw": [{"size": 1048576, "ab": 1000.5, "ba": 900, "both": 1500}],
}  # fmt: skip


def line(event):
    return MARK + json.dumps(event)


def test_a_pair_is_read():
    assert parse(line(PAIR)) == PAIR


def test_noise_before_the_mark_is_dropped():
    assert parse("[node3:123] warning " + line(PAIR)) == PAIR


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", MARK, MARK + "{", MARK + "[]", MARK + "null", MARK + '{"t":[]}', MARK + '{"t":"what"}',
        line(PAIR)[:-5], line(PAIR) + line(PAIR), MARK + '{"t":"exit","rc":true}', MARK + '{"t":"exit","rc":"0"}',
        line({**PAIR, "via": ["x"]}), line({**PAIR, "via": [1, 2]}), line({**PAIR, "a": None}),
        line({**PAIR, "bw": [{"size": 1}]}), line({**PAIR, "lat": [7]}), line({**PAIR, "lat": {}}),
        line({**PAIR, "bw": [{**PAIR["bw"][0], "ab": -1}]}), line({**PAIR, "bw": [{**PAIR["bw"][0], "ab": float("nan")}]}),
        line({**PAIR, "bw": [{**PAIR["bw"][0], "ab": float("inf")}]}),
        line({"t": "count", "rank": 0, "phase": "latency", "payload": 1, "moved": {"lo": [1]}}),
        line({"t": "build", "rank": 0, "host": "x" * 5000, "why": ""}), MARK + "[" * 4000,
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_no_event(text):
    assert parse(text) is None


@given(st.text(max_size=300))
def test_no_text_makes_the_parser_fall(text):
    parse(MARK + text)
    Collector().feed(text)


def test_the_launchers_talk_keeps_its_beginning_and_its_end_and_no_more():
    collector = Collector()
    collector.feed("first words")
    for i in range(20_000):
        collector.feed(f"complaint {i}")
    collector.feed("last words")
    assert collector.talk.startswith("first words\n")
    assert collector.talk.endswith("last words\n")
    assert len(collector.talk) < 3 * KEEP


def test_a_megabyte_in_one_line_is_cut():
    collector = Collector()
    collector.feed("x" * 5_000_000)
    assert len(collector.talk) < 5000


def test_broken_lines_of_ranks_are_counted():
    collector = Collector()
    collector.feed(line(PAIR)[:40])
    assert collector.dropped == 1


def test_the_launch_is_over_when_all_but_the_silent_have_said_goodbye():
    collector = Collector()
    for rank in range(3):
        collector.feed(line({"t": "rank", "rank": rank, "size": 3, "host": "h", "mpi": "m"}))
    collector.feed(line({"t": "silent", "rank": 2, "hub": 0, "r": 1}))
    collector.feed(line({"t": "bye", "rank": 0}))
    assert not collector.over
    collector.feed(line({"t": "bye", "rank": 1}))
    assert collector.over


BORN = {"t": "born", "rank": 0, "host": "h", "memlock_soft": "64", "memlock_hard": "64", "stack": "s"}


def complain(collector, times):
    for i in range(times):
        collector.feed(f"[17954.{i}] [vm1:{i} :0] ib_md.c:297 UCX ERROR ibv_reg_mr(address=0x{i:x}) failed")


def test_a_launch_whose_ranks_repeat_one_complaint_for_ever_is_over():
    collector = Collector(ranks=2)
    collector.feed(line(BORN))
    complain(collector, 2 * CIRCLES)
    assert not collector.over
    complain(collector, 1)
    assert collector.over
    assert collector.circling


@pytest.mark.parametrize("event", [None, {"t": "rank", "rank": 0, "size": 2, "host": "h", "mpi": "m"}])
def test_noise_before_any_program_runs_or_after_mpi_came_up_ends_no_launch(event):
    collector = Collector(ranks=2)
    if event:
        collector.feed(line(BORN))
        collector.feed(line(event))
    complain(collector, 10 * CIRCLES)
    assert not collector.over


def test_a_rank_that_a_signal_ended_is_told_and_not_one_that_was_asked_to_end():
    collector = Collector()
    for number, name in ((9, "Killed"), (15, "Terminated"), (11, "Segmentation fault")):
        collector.feed(
            f"mpirun noticed that process rank {number} with PID 77 on node ib2 exited on signal {number} ({name})."
        )
    assert collector.killed() == [(9, "signal 9 (Killed)"), (11, "signal 11 (Segmentation fault)")]


def test_only_the_first_witness_names_a_rank_for_a_launcher_may_kill_the_others():
    collector = Collector()
    for rank in (2, 0, 1):
        collector.feed(line({"t": "died", "rank": rank, "signal": 0}))
    assert [rank for rank, _ in collector.killed()] == [2]


def late(rank, cpu):
    return {"t": "stuck", "rank": rank, "r": 0, "a": 0, "b": 1, "during": "one way", "how": "late", "cpu": cpu}


@pytest.mark.parametrize(
    ("first", "second", "lost"), [(5, 3900, {"a"}), (3900, 5, {"b"}), (3900, 3000, set()), (5, 30, set())]
)
def test_of_two_that_were_late_the_one_without_a_processor_was_stopped(first, second, lost):
    collector, out = Collector(), Measurement(["a", "b"])
    for event in (late(0, first), late(1, second)):
        collector.feed(line(event))
    assert Names(["a", "b"], {"a": "a", "b": "b"}, 1, collector).add_to(out, 1) == lost
    assert set(out.silent) == lost
    assert bool(out.hung) == (not lost), "its pair is not to blame"


@pytest.mark.parametrize(("how", "lost"), [("told", set()), ("held", {"a"}), (None, {"a"})])
def test_a_hub_that_reached_nobody_is_lost_only_if_it_stood_still_or_said_nothing(how, lost):
    collector, out = Collector(), Measurement(["a", "b"])
    collector.feed(line({"t": "hang", "rank": 1, "r": -1, "a": 0, "b": 1, "during": "hub"}))
    if how:
        collector.feed(line({"t": "stuck", "rank": 0, "r": -1, "a": 0, "b": 0, "during": "hub", "how": how}))
    assert Names(["a", "b"], {"a": "a", "b": "b"}, 1, collector).add_to(out, 1) == lost
    assert [(pair["a"], pair["b"]) for pair in out.hung] == [("a", "b")]


def test_a_killed_rank_is_named_by_its_witness_where_its_partner_ended_the_job_before_the_launcher_knew():
    # Seen with 4.1.4: the connection to rank 1 broke, rank 2's MPI_Abort came first, and nobody spoke of a signal.
    events = [
        {"t": "died", "rank": 1, "signal": 9},
        {"t": "stuck", "rank": 2, "r": 0, "a": 1, "b": 2, "during": "one way", "how": "quit"},
        {"t": "stuck", "rank": 3, "r": -1, "a": 3, "b": 0, "during": "hub", "how": "told"},
    ]
    nodes = ["a", "b", "c", "d"]
    collector, out = Collector(), Measurement(nodes)
    for event in events:
        collector.feed(line(event))
    names = Names(nodes, {node: node for node in nodes}, 1, collector)
    assert names.add_to(out, 1) == set(), "it may live the next time"
    assert out.died == {"b": "signal 9"}
    assert out.hung == []
    assert names.why(set()) == "a rank on b was killed"
    assert names.add_to(out, 1) == {"b"}, "not a second time"
    assert out.silent == ["b"]


def test_a_partner_that_gave_up_names_its_pair_where_no_rank_was_killed():
    nodes = ["a", "b"]
    collector, out = Collector(), Measurement(nodes)
    for rank, how in ((0, "quit"), (1, "told")):
        collector.feed(line({"t": "stuck", "rank": rank, "r": 0, "a": 0, "b": 1, "during": "one way", "how": how}))
    assert Names(nodes, {node: node for node in nodes}, 1, collector).add_to(out, 1) == set()
    assert [(pair["a"], pair["b"]) for pair in out.hung] == [("a", "b")]
    assert out.died == {}
