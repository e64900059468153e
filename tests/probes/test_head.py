"""The launching node: lines as they come, files where they belong, and nothing left behind."""

from __future__ import annotations

import pathlib
import subprocess
import time

import pytest

from ddlcheck.errors import NodeError
from ddlcheck.inventory import Node
from ddlcheck.probes.head import AgentHead


@pytest.fixture(params=["over ssh", "on this machine"])
def head(request, sshd):
    node = sshd.node() if request.param == "over ssh" else Node("here", "here", local=True)
    return AgentHead(node, "")


def gone(pattern):
    for _ in range(80):
        if subprocess.run(["pgrep", "-f", pattern], check=False, capture_output=True).returncode:
            return True
        time.sleep(0.1)
    return False


def test_lines_come_as_they_are_written(head):
    lines = head.stream(["sh", "-c", "echo one; sleep 2; echo two"], deadline=20)
    assert next(lines) == "one"
    first = time.monotonic()  # how long it took to get there is the machine's business
    assert [line for line in lines if line] == ["two"]
    assert time.monotonic() - first > 1.0


def test_a_line_without_an_end_is_not_lost(head):
    assert "tail" in list(head.stream(["printf", "head\ntail"], deadline=20))


def test_a_late_command_is_ended_and_said(head):
    with pytest.raises(NodeError) as caught:
        list(head.stream(["sleep", "5011"], deadline=1))
    assert caught.value.reason == "timeout"
    assert gone("sleep 5011")


def test_a_reader_that_goes_away_ends_the_whole_group(head):
    lines = head.stream(["sh", "-c", "sleep 5012 & sleep 5012 & echo started; wait"], deadline=60)
    assert next(lines) == "started"
    lines.close()
    assert gone("sleep 5012")


def test_a_command_that_is_not_there_is_said(head):
    with pytest.raises(NodeError, match="no-such-program"):
        list(head.stream(["no-such-program"], deadline=5))


def test_a_file_arrives_whole_and_private(head):
    data = bytes(range(256)) * 1000
    path = pathlib.Path(head.put(data, "../../test.bin"))
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.name == "ddlcheck"
    path.unlink()
