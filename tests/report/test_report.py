"""What a reader gets: the answer first, equal nodes folded, and the same in every form."""

from __future__ import annotations

import json as json_
import pathlib
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from ddlcheck.report import Result, fold, json, junit, lines, text
from ddlcheck.verdict import Status, Verdict

NODES = tuple(f"node{i:02}" for i in range(1, 31))


def verdict(status=Status.FAIL, seen="64 KiB", promise="memlock", nodes=("node01",), **more):
    more = {"promised": "unlimited", "cause": "a file", "remedy": "memlock", **more}
    return Verdict(status, seen, promise=promise, nodes=nodes, **more)


def kept(promise, nodes):
    return [Verdict(Status.PASS, "fine", promise=promise, nodes=(n,)) for n in nodes]


def result(verdicts, nodes=NODES, promises=("memlock", "clock"), names=None):
    return Result(
        "inv", nodes, {p: f"{p} holds." for p in promises}, verdicts, 1e9, 2.5, names or {n: [n] for n in nodes}
    )


MIXED = result(
    [verdict(nodes=(n,)) for n in NODES[:3]]
    + kept("memlock", NODES[3:])
    + kept("clock", NODES[:-1])
    + [verdict(Status.UNKNOWN, "not asked: refused", "clock", ("node30",), promised="", cause="x", remedy="inspect")]
)


def test_the_answer_comes_first_and_the_worst_before_the_rest():
    out = text.render(MIXED).splitlines()
    assert out[0].startswith("NOT READY: 1 of 2 promises broken, 1 of 2 promises unknown on 30 nodes (node[01-30])")
    assert [line.split()[0] for line in out[2:6]] == ["FAIL", "UNKNOWN", "PASS", "PASS"]


def test_equal_nodes_are_one_line():
    line = next(line for line in text.render(MIXED).splitlines() if line.startswith("FAIL"))
    assert "node[01-03]" in line
    for word in ("seen 64 KiB", "promised unlimited", "cause: a file", "remedy: role memlock"):
        assert word in line


def test_sentences_that_differ_in_the_nodes_own_name_are_alike():
    verdicts = [verdict(seen=f"host name is {n}", promise="hostname", nodes=(n,)) for n in NODES]
    out = text.render(result(verdicts, promises=("hostname",)))
    assert len([line for line in out.splitlines() if line.startswith("FAIL")]) == 1
    assert "host name is node01 (the other 29 alike)" in out


def test_sentences_that_differ_in_a_figure_are_not_alike():
    verdicts = [verdict(seen=f"{limit} KiB", nodes=(n,)) for n, limit in zip(NODES, (64, 65), strict=False)]
    assert len(fold.groups(verdicts, {n: [n] for n in NODES})) == 2


def test_a_node_that_is_unknown_for_everything_is_one_line():
    gone = [verdict(Status.UNKNOWN, "not asked", p, ("node07",), cause="down") for p in ("memlock", "clock")]
    out = text.render(result(gone))
    assert out.count("node07") == 1
    assert "every promise" in out


def test_the_command_that_mends_is_printed_once_with_all_roles():
    verdicts = [verdict(), verdict(promise="clock", remedy="clock"), verdict(promise="fabric", remedy="inspect")]
    out = text.render(result(verdicts, promises=("memlock", "clock", "fabric")))
    assert "ansible-playbook -i inv site.yml --tags clock,memlock\n" in out


def test_a_role_that_its_own_check_calls_in_vain_is_not_in_the_command():
    by_hand = verdict(promise="ssh_mesh", remedy="inspect", nodes=("node02",))
    waits = verdict(promise="fabric", remedy="ssh_mesh", nodes=("node02",))
    assert "To mend" not in text.render(result([by_hand, waits], promises=("ssh_mesh", "fabric")))
    elsewhere = verdict(promise="fabric", remedy="ssh_mesh", nodes=("node03",))
    assert "--tags ssh_mesh\n" in text.render(result([by_hand, elsewhere], promises=("ssh_mesh", "fabric")))
    besides = verdict(promise="ssh_mesh", remedy="ssh_mesh", seen="no key", nodes=("node02",))
    assert "--tags ssh_mesh\n" in text.render(result([by_hand, besides], promises=("ssh_mesh",)))


def test_a_role_that_would_let_an_unknown_be_seen_is_in_the_command():
    unknown = verdict(Status.UNKNOWN, remedy="ssh_mesh")
    assert "--tags ssh_mesh\n" in text.render(result([unknown], promises=("memlock", "ssh_mesh")))


def test_nothing_a_node_says_drives_the_terminal_or_breaks_a_line():
    evil = "x\x1b[2J\r\n\x07\u202eevil"
    for out in (text.render(result([verdict(seen=evil, cause=evil)])), lines.render("n", [verdict(seen=evil)], 1)):
        assert not set("\x1b\r\x07\u202e") & set(out)
    assert text.render(result([verdict(seen=evil)])).count("\n") == text.render(result([verdict()])).count("\n")


def test_colour_only_where_it_is_asked_for():
    assert "\x1b[" not in text.render(MIXED)
    assert "\x1b[31;1mFAIL" in text.render(MIXED, colour=True)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_terminal(width):
    long = result([verdict(cause="a very long cause " * 20)])
    body = text.render(long, width=width).split("To mend:")[0].splitlines()[2:]
    assert max(map(len, body)) <= width


def test_nothing_judged_is_said_and_is_not_ready():
    out = text.render(result([]))
    assert out.startswith("COULD NOT TELL: nothing was judged")


@pytest.mark.parametrize("of", [MIXED, result([]), result(kept("clock", NODES))], ids=["mixed", "nothing", "ready"])
def test_the_json_obeys_its_published_schema(of):
    schema = json_.loads(pathlib.Path("docs/report.schema.json").read_text())
    body = json_.loads(json.render(of))
    jsonschema.Draft202012Validator(schema).validate(body)
    assert body["exit"] == of.exit
    assert len(body["verdicts"]) == len(of.verdicts), "passes are in it, too"
    assert [Verdict.from_json(v).to_json() for v in body["verdicts"]] == body["verdicts"]


def test_the_schema_refuses_a_status_that_does_not_exist():
    schema = json_.loads(pathlib.Path("docs/report.schema.json").read_text())
    body = json_.loads(json.render(MIXED))
    body["verdicts"][0]["status"] = "OK"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(body)


def test_junit_counts_what_it_holds():
    root = ET.fromstring(junit.render(MIXED))
    suites = {s.get("name"): s for s in root}
    assert suites["memlock"].get("failures") == "3"
    assert len(suites["memlock"].findall("testcase/failure")) == 3
    assert suites["clock"].get("errors") == "1"
    assert len(suites["clock"].findall("testcase")) == int(suites["clock"].get("tests")) == 30


def test_junit_survives_what_xml_forbids():
    ET.fromstring(junit.render(result([verdict(seen="a\x00\x08\ufffe<&>\"'")])))


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["node1", "node2", "node3"], "node[1-3]"),
        (["b", "a"], "a,b"),
        (["10.0.0.1", "10.0.0.2"], "10.0.0.[1-2]"),
        (["node01.rack-1", "node02.rack-1"], "node[01-02].rack-1"),
        (["x[1", "y@2"], "x[1,y@2"),
        ([], ""),
    ],
)
def test_names_fold_and_none_is_lost(names, folded):
    assert fold.nodes(names) == folded


def test_one_line_when_ready_and_one_a_trouble():
    assert lines.render("n1", kept("clock", ["n1"]), 0.01).count("\n") == 1
    out = lines.render("n1", [verdict(), *kept("clock", ["n1"])], 0.01)
    assert out.splitlines() == ["FAIL n1 memlock: seen 64 KiB; promised unlimited; cause: a file; remedy: role memlock"]


def test_a_node_of_which_nothing_was_judged_says_so():
    skipped = Verdict(Status.SKIP, "spans nodes", promise="fabric", nodes=("n1",))
    assert lines.render("n1", [skipped], 0.01) == "UNKNOWN n1: nothing was judged (fabric: spans nodes)\n"
