import pytest

from ddlcheck.fabric.causes import classify


@pytest.mark.parametrize(
    ("talk", "word", "remedy"),
    [
        ("UCX ERROR ibv_reg_mr(address=0x7f) failed: Cannot allocate memory. Please set max locked memory (ulimit -l)",
         "lock enough memory", "memlock"),
        ("A\n\nFailed to create a completion queue (CQ):\n\nHostname: a\nRequested CQE: 16384", "lock", "memlock"),
        ("Host key verification failed.\nORTE was unable to reliably start one or more daemons.", "host key", "ssh_mesh"),
        ("root@b: Permission denied (publickey).", "refused", "ssh_mesh"),
        ("ssh: Could not resolve hostname nodeX: Name or service not known", "resolve", "hosts_file"),
        ("bash: line 1: orted: command not found", "daemon where ssh looks", "openmpi"),
        ("PML add procs failed\n  --> Returned Not found (-13)", "PML add procs", "openmpi"),
        ("At least one pair of MPI processes are unable to reach each other", "common network", "interfaces"),
        ("mkdir: cannot create directory: No space left on device", "no space", "inspect"),
        ("[[1,2],0] ORTE_ERROR_LOG: Data unpack would read past end of buffer in file", "different versions", "openmpi"),
        ("A hostfile was provided that contains multiple definitions\nof the slot count for at least one node:",
         "two names", "inventory"),
    ],
)  # fmt: skip
def test_a_launchers_words_have_a_cause(talk, word, remedy):
    found = classify(talk)
    assert word in found["cause"]
    assert found["remedy"] == remedy
    assert found["text"]


def test_what_is_not_known_is_shown_and_not_guessed():
    assert classify("----\nsomething new\n----\n") == {
        "cause": "the launch failed",
        "remedy": "inspect",
        "text": "something new",
    }
