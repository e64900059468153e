"""The catalogue: every cause is found in what was really said, first things first, and quickly."""

import pathlib
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck import checks, explain
from ddlcheck.verdict import VERBS

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = tomllib.loads((pathlib.Path(__file__).parent / "examples.toml").read_text())["example"]
#: Promises of a launch, which are no checks of a cluster.
LAUNCH = {"rankfile", "gpu", "ib_link"}


def found(text):
    return explain.read(text.splitlines(keepends=True))


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{one['is']}: {one['text'].strip()[:40]}" for one in EXAMPLES])
def test_what_was_said_is_understood_and_the_root_comes_first(example):
    findings = found(example["text"])
    assert [one.cause.name for one in findings] == [example["is"], *example.get("also", [])]
    assert findings[0].hosts == example.get("hosts", findings[0].hosts)
    assert findings[0].named == example.get("named", findings[0].named)
    assert "{" not in str(findings[0])


def test_every_cause_has_an_example():
    assert {one.name for one in explain.catalogue()} == {one["is"] for one in EXAMPLES}


@pytest.mark.parametrize("cause", explain.catalogue(), ids=lambda one: one.name)
def test_a_cause_names_a_promise_and_a_remedy_that_exist(cause):
    assert cause.promise in {"", *checks.names(), *LAUNCH}
    assert cause.remedy in VERBS or (ROOT / "roles" / cause.remedy).is_dir()
    assert cause.cause
    assert not cause.cause.endswith(".")
    assert not [pattern for _, pattern in cause.patterns if pattern.search("")]


@pytest.mark.parametrize("cause", explain.catalogue(), ids=lambda one: one.name)
def test_every_pattern_has_a_plain_word_by_which_most_lines_are_put_aside(cause):
    assert all(len(word) >= 4 for word, _ in cause.patterns)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["text"].strip()[:40])
def test_the_plain_word_puts_nothing_aside_that_the_pattern_finds(example):
    text = " ".join(example["text"].split())
    for cause in explain.catalogue():
        assert all(word in text.lower() for word, pattern in cause.patterns if pattern.search(text))


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"ibv_(?:reg|exp)_mr\(.*Cannot allocate", "cannot allocate"), (r"colou?r", "colo"), (r"a|b", ""),
        (r"exited on signal (11|7)\b", "exited on signal "), (r"[ab]+cdef", "cdef"), (r"ab(cd(ef)?)*ghi+", "ghi"),
        (r"no active ports (?:detected|found)", "no active ports "), (r"\S*_if_include", "_if_include"),
    ],
)  # fmt: skip
def test_the_plain_word_of_a_pattern(pattern, word):
    assert explain.plain(pattern) == word


def test_a_job_that_went_well_names_no_cause():
    assert found("step 1 loss 2.3\nepoch 2: accuracy 0.97, 128 images/s\nminsky1\nsaved to /tmp/model.bin\n") == []


def test_words_of_a_text_are_found_however_it_is_wrapped():
    text = "The rankfile that was used claimed that a host was either\nnot allocated or oversubscribed its slots.\n"
    assert [one.cause.name for one in found(text)] == ["rankfile-host"]


def test_the_line_is_the_first_that_says_so():
    (one,) = found("a\nb\nHost key verification failed.\nHost key verification failed.\n")
    assert (one.line, one.text) == (3, "Host key verification failed.")


def test_all_hosts_that_say_it_are_named_although_its_kind_is_known():
    text = "".join(f"Failed to create a completion queue (CQ):\nHostname: n{n}\n" for n in range(40))
    (one,) = found(text)
    assert one.hosts == [f"n{n}" for n in range(40)]


def test_ten_thousand_repeats_cost_little():
    line = "[n1:{}] ib_log.c:246 UCX ERROR ibv_reg_mr(address=0x{:x}) failed: Cannot allocate memory.\n"
    began = time.monotonic()
    (one,) = explain.read(line.format(number, number * 4096) for number in range(100_000))
    assert one.cause.name == "memlock"
    # Searched by all patterns, as many lines take minutes.
    assert time.monotonic() - began < 60


@given(st.lists(st.text(max_size=200), max_size=30))
def test_no_text_is_a_crash(lines):
    explain.read(lines)


def test_a_line_without_an_end_is_cut():
    (one,) = explain.read(["Host key verification failed." + "x" * 10**6])
    assert len(one.text) <= 300
