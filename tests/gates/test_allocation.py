"""What a node says before a job, and what is made of it: root's word, names, and many names."""

from __future__ import annotations

import json

import pytest

from ddlcheck.ddl import hosts
from ddlcheck.ddl.seen import Seen, read, script
from ddlcheck.errors import UsageError
from ddlcheck.gates import allocation, fanout
from ddlcheck.gates.allocation import bad_nodes, names, of_node, worst
from ddlcheck.verdict import Status, Verdict

BOOT = "5f3c"


def gate(**status):
    return json.dumps({"verdicts": [
        {"status": word, "promise": name, "seen": "x", "cause": "so", "declared": {}} for name, word in status.items()]})  # fmt: skip


def says(live, status="0", *, kept=None, owner="0 755\n0 644", age=10.0, boot=BOOT):
    texts = {"host": "n1", "boot": BOOT, "up": "1000.00 1.0", "owner": owner, "gate": live, "status": status}
    if kept is not None:
        texts["kept"] = json.dumps({"boot": boot, "since_boot": 1000.0 - age, **json.loads(kept)})
    return Seen(texts)


def found(one, max_age=600.0):
    return {v.promise: v.status for v in of_node("n1", one, max_age)}


def test_root_s_word_stands_where_this_session_saw_nothing():
    one = says(gate(memlock="UNKNOWN", clock="PASS"), "3", kept=gate(memlock="PASS", clock="PASS"))
    assert found(one) == {"memlock": Status.PASS, "clock": Status.PASS}


def test_the_worse_word_counts_where_both_saw_it():
    assert found(says(gate(memlock="FAIL"), "1", kept=gate(memlock="PASS"))) == {"memlock": Status.FAIL}
    assert found(says(gate(memlock="PASS"), kept=gate(memlock="FAIL"))) == {"memlock": Status.FAIL}


@pytest.mark.parametrize("how", [
    {"age": 601.0}, {"age": -5.0}, {"boot": "other"}, {"owner": "1000 755\n0 644"}, {"owner": "0 777\n0 644"},
    {"owner": "0 755\n0 666"}, {"owner": "0 755"}, {"owner": ""}, {"owner": "0 755\n0 x"},
])  # fmt: skip
def test_root_s_word_is_believed_only_fresh_and_if_it_is_root_s(how):
    one = says(gate(memlock="UNKNOWN"), "3", kept=gate(memlock="PASS"), **how)
    assert found(one) == {"memlock": Status.UNKNOWN}


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"verdicts": 1}', '{"verdicts": [{}]}', "null", '{"boot": "5f3c", "since_boot": "x"}']
)
def test_what_root_never_wrote_says_nothing(kept):
    one = says(gate(memlock="UNKNOWN"), "3")
    one.texts["kept"] = kept
    assert found(one) == {"memlock": Status.UNKNOWN}


@pytest.mark.parametrize(("live", "status"), [
    (gate(memlock="PASS")[:-2], "0"), ("", "0"), ("", ""), (gate(), "0"), (gate(memlock="PASS"), "1"), ("{}", "0"),
    (gate(memlock="NEW"), "0"), (gate(memlock="PASS").replace('"x"', "5"), "0"), ("[" * 100_000, "0"), ('{"verdicts": {"a": 1}}', "0"),
])  # fmt: skip
def test_no_answer_of_a_gate_is_ever_a_pass(live, status):
    assert found(says(live, status))["health_gate"] is Status.UNKNOWN


def resolving(**tables):
    return {host: Seen({"host": host, "names": text}) for host, text in tables.items()}


def table(**addresses):
    lines = [f"{name} =" for name in addresses]
    return "\n".join(lines + [f"{name} {one}" for name, many in addresses.items() for one in many.split()])


def test_nodes_that_resolve_alike_pass():
    same = table(a="10.0.0.1", b="10.0.0.2")
    assert {v.status for v in names(resolving(a=same, b=same), ["a", "b"])} == {Status.PASS}


@pytest.mark.parametrize(("other", "kind"), [
    (table(a="10.0.0.1", b="", c="10.0.0.3"), "missing"), (table(a="127.0.1.1", b="10.0.0.2", c="10.0.0.3"), "loopback"),
    (table(a="10.9.9.9", b="10.0.0.2", c="10.0.0.3"), "other"),
])  # fmt: skip
def test_the_one_that_resolves_otherwise_is_named(other, kind):
    same = table(a="10.0.0.1", b="10.0.0.2", c="10.0.0.3")
    verdicts = names(resolving(a=other, b=same, c=same), ["a", "b", "c"])
    assert bad_nodes(verdicts) == {"a"}
    assert [key for key, value in verdicts[0].evidence.items() if value] == [kind]


def test_a_name_that_nobody_resolves_is_everybody_s_fault():
    same = table(a="10.0.0.1", b="")
    assert bad_nodes(names(resolving(a=same, b=same), ["a", "b"])) == {"a", "b"}


def test_a_node_that_was_not_done_with_its_names_is_not_a_pass():
    verdicts = names({**resolving(a=table(a="10.0.0.1")), "b": Seen({"host": "b", "names": ""})}, ["a"])
    assert "b" in bad_nodes(verdicts)


MANY = [f"n{i}" for i in range(100)]
GOOD = "sum 100\n2938 17"


@pytest.mark.parametrize(("said", "status"), [
    (GOOD, Status.PASS), ("2938 17\nsum 100", Status.PASS), ("sum 99\n2938 17", Status.FAIL), ("sum 100\n1 1", Status.FAIL),
    ("sum 100", Status.UNKNOWN), ("", Status.UNKNOWN), ("2938 17", Status.UNKNOWN), ("sum x\n1 1", Status.UNKNOWN),
])  # fmt: skip
def test_many_names_are_compared_by_their_sum(said, status):
    verdicts = names(resolving(n1=GOOD, n2=GOOD, n3=said), MANY)
    assert [v.status for v in verdicts] == [Status.PASS, Status.PASS, status]


def test_the_sum_of_names_that_nobody_resolves_is_no_agreement():
    assert bad_nodes(names(resolving(n1="sum 0\n1 1", n2="sum 0\n1 1"), MANY)) == {"n1", "n2"}


def test_of_one_promise_and_node_the_worst_stays():
    good, bad = (Verdict(s, "x", promise="p", nodes=("a",)) for s in (Status.PASS, Status.FAIL))
    assert worst([good, bad]) == [bad]


@pytest.mark.parametrize("count", [2, 64, 65, 1000])
def test_the_question_is_shell_whatever_the_number_of_nodes(count):
    import subprocess

    text = script("orted", "", allocation.question([f"n{i}" for i in range(count)], "/x y/gate"))
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert "'/x y/gate'" in text


def test_a_step_s_lines_are_sorted_by_task_and_named_by_the_node_itself():
    import base64

    def task(number, node):
        text = base64.encodebytes(f"@ddlcheck host\n{node}\n@ddlcheck node\n{node}\n".encode()).decode()
        return "".join(f" {number}: {line}\n" for line in text.splitlines())

    said = task(1, "b") + "stray\n" + task(0, "a") + task(2, "stranger") + " 3: !!!\n"
    got = fanout._by_task(said.encode(), ["a", "b", "c"])
    assert sorted(got) == ["a", "b"]
    assert read("@ddlcheck host\nx\n").reached


@pytest.mark.parametrize(("env", "wanted"), [
    ({"LSB_MCPU_HOSTS": "a 4 b 2"}, {"a": 4, "b": 2}), ({"LSB_HOSTS": "a a b"}, {"a": 2, "b": 1}),
    ({"LSB_DJOB_HOSTFILE": "f", "LSB_HOSTS": "x"}, {"a": 2, "b": 1}),
])  # fmt: skip
def test_lsf_says_its_hosts_in_three_ways(env, wanted):
    got = hosts.from_lsf(env, lambda _path: "a\na\nb\n")
    assert (dict(got), got.manager) == (wanted, "lsf")


def test_outside_of_a_job_there_is_none():
    assert hosts.from_lsf({}, pytest.fail) is None
    assert hosts.from_flux({}, lambda: pytest.fail("asked")) is None
    assert dict(hosts.from_flux({"FLUX_URI": "x"}, lambda: "n[1-2]")) == {"n1": 0, "n2": 0}


def test_a_host_file_of_either_mpi_is_read():
    text = "# ours\na slots=4\nb:2\n\nc  # later\na slots=1 max_slots=9\n"
    assert dict(hosts.parse_hostfile(text, "f")) == {"a": 5, "b": 2, "c": 0}


@pytest.mark.parametrize("text", ["", "# nothing\n", "a slots=x\n", "-oProxyCommand=x\n", "a:\n"])
def test_a_host_file_that_cannot_be_meant_is_one_sentence(text):
    with pytest.raises(UsageError, match=r"f( line 1)?"):
        hosts.parse_hostfile(text, "f")
