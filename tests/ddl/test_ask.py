"""Asking nodes, with local programs in the place of ssh."""

import time

import pytest

from ddlcheck.ddl import ask, seen


def fails(words):
    return ["/bin/sh", "-c", f"cat >/dev/null & echo '{words}' >&2; exit 255"]


def test_this_machine_answers_the_question():
    one = ask.ask(["/bin/sh", "-s"], seen.script("orted"))
    assert one.reached
    assert one["memlock"]
    assert "end" in one.texts
    assert not one.reason


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Host key verification failed.", "host key unknown"),
        ("admin@n: Permission denied (publickey,password).", "key refused"),
        ("ssh: Could not resolve hostname n: Name or service not known", "name"),
        ("ssh: connect to host n port 22: Connection refused", "refused"),
        ("Connection timed out during banner exchange", "timeout"),
        ("something new", "closed"),
    ],
)
def test_what_ssh_says_is_told_apart(words, reason):
    one = ask.ask(fails(words), "exit 0\n")
    assert (one.reason, one.error, one.reached) == (reason, words, False)


def test_what_srun_says_is_kept_though_its_status_is_not_ssh_s():
    one = ask.ask(
        ["/bin/sh", "-c", "cat >/dev/null & echo 'srun: error: Unable to confirm allocation' >&2; exit 1"], ""
    )
    assert (one.reached, one.reason) == (False, "closed")
    assert one.error == "srun: error: Unable to confirm allocation"


def test_a_node_that_does_not_answer_is_given_up():
    began = time.monotonic()
    one = ask.ask(["/bin/sh", "-c", "trap '' TERM; sleep 60"], "", deadline=0.5)
    assert one.reason == "timeout"
    assert time.monotonic() - began < 10


def test_what_a_node_said_before_it_stopped_is_kept():
    one = ask.ask(["/bin/sh", "-s"], "echo @ddlcheck host; echo a; sleep 60\n", deadline=0.5)
    assert (one["host"], one.reason) == ("a", "timeout")


def test_a_node_that_prints_without_end_is_cut():
    one = ask.ask(["/bin/sh", "-s"], "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n")
    assert one.reason == "too much"


def test_a_program_that_is_not_there_is_a_reason():
    assert ask.ask(["/nonexistent/ssh"], "").reason == "failed"


def test_every_node_is_asked_at_the_same_time():
    began = time.monotonic()
    slow = {str(n): ["/bin/sh", "-c", "cat >/dev/null & sleep 1; echo @ddlcheck host"] for n in range(8)}
    assert all(one.reached for one in ask.ask_all(slow, "").values())
    assert time.monotonic() - began < 6


def test_the_way_to_a_host():
    assert ask.way_to("localhost") == ["/bin/sh", "-s"]
    far = ask.way_to("n1.invalid")
    assert far[0] == "ssh"
    assert "StrictHostKeyChecking=yes" in far
    assert far[-3:] == ["--", "n1.invalid", "sh -s"]
    assert ask.way_to("n1.invalid", "slurm")[0] == "srun"
