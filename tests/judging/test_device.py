import pytest

from ddlcheck.judging import device
from ddlcheck.verdict import Status

GOOD = {"state": "exchanged", "peer": "n2", "why": "", "says": 1, "gpu": "card", "n": 18, "bad": 0, "at": 0, "size": 1 << 20,
        "rate": 11000.0}  # fmt: skip


def judged(found, *, declared=True):
    return list(device.judge({"n1": {"device": found}}, {"n1": declared}))


def test_verified_messages_are_a_pass_that_says_how_many():
    (verdict,) = judged(GOOD)
    assert verdict.status is Status.PASS
    assert "18 messages" in verdict.seen
    assert "n2" in verdict.seen


def test_nothing_is_said_where_nothing_was_promised():
    assert judged(GOOD, declared=False) == []


@pytest.mark.parametrize(
    ("change", "status", "remedy", "word"),
    [
        ({"bad": 2}, Status.FAIL, "openmpi", "not what was sent"),
        ({"state": "absent", "why": "libcuda.so.1: cannot open"}, Status.FAIL, "inspect", "driver"),
        ({"state": "broken", "why": "the rank crashed", "says": 0}, Status.FAIL, "openmpi", "built without CUDA"),
        ({"state": "broken", "why": "the rank crashed", "says": 1}, Status.FAIL, "openmpi", "UCX_TLS"),
        (
            {"state": "broken", "why": "it did not end in time during the start of CUDA"},
            Status.FAIL,
            "inspect",
            "hangs",
        ),
        (
            {"state": "unknown", "why": "no other node to exchange with"},
            Status.UNKNOWN,
            "inspect",
            "did not come about",
        ),
    ],
)
def test_whatever_else_is_no_pass_and_says_why(change, status, remedy, word):
    (verdict,) = judged({**GOOD, **change})
    assert (verdict.status, verdict.remedy) == (status, remedy)
    assert word in verdict.cause
    assert verdict.nodes == ("n1",)


@pytest.mark.parametrize("found", [None, {}])
def test_a_promise_that_was_not_measured_is_unknown(found):
    assert [v.status for v in judged(found)] == [Status.UNKNOWN]
