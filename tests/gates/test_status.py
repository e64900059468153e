"""The kept verdict cannot be forged, freshened by a clock step, or read half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ddlcheck.errors import NotSeen
from ddlcheck.gates import moments, status
from ddlcheck.gates.result import Result
from ddlcheck.verdict import Status, Verdict

GOOD = Result("n1", [Verdict(Status.PASS, "fine", promise="memlock", nodes=("n1",))], declared="d")
BAD = Result("n1", [Verdict(Status.FAIL, "64 KiB", cause="a file", promise="memlock", nodes=("n1",))])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "status.json")


def unread(path, age=60.0):
    with pytest.raises(NotSeen) as caught:
        status.read(age, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path, **fields):
    with open(path, encoding="ascii") as file:
        body = {**json.load(file), **fields}
    with open(path, "w", encoding="ascii") as file:
        file.write(json.dumps(body) + "\n")


@pytest.mark.parametrize("result", [GOOD, BAD, Result("", [], refused="no intent")])
def test_what_was_kept_is_read_again(path, result):
    status.write(result, path)
    kept = status.read(60, path)
    assert kept.result.to_json() == result.to_json()
    assert 0 <= kept.age < 60


def test_an_old_one_is_not_believed(path):
    status.write(GOOD, path)
    edit(path, since_boot=moments.since_boot() - 100)
    assert "100 s old, more than 60 s" in unread(path)
    assert status.read(200, path).age >= 100


def test_a_step_of_the_wall_clock_freshens_nothing(path):
    status.write(GOOD, path)
    edit(path, since_boot=moments.since_boot() - 100, time=4e9)
    assert "old" in unread(path)


@pytest.mark.parametrize(("fields", "says"), [
    ({"boot": "another"}, "before the last boot"), ({"since_boot": 1e12}, "in the future"), ({"since_boot": "nan"}, "future"),
    ({"since_boot": None}, "does not say when"), ({"version": 9}, "version 9"), ({"exit": 3}, "not the one of its verdicts"),
    ({"verdicts": 7}, "does not hold a verdict"), ({"verdicts": [7]}, "does not hold a verdict"), ({"node": 7}, "does not hold"),
])  # fmt: skip
def test_one_of_another_form_is_not_believed(path, fields, says):
    status.write(GOOD, path)
    edit(path, **fields)
    assert says in unread(path)


def test_cut_short_at_any_byte_it_is_not_believed(path):
    status.write(GOOD, path)
    with open(path, "rb") as file:
        data = file.read()
    for size in range(len(data)):
        with open(path, "wb") as file:
            file.write(data[:size])
        unread(path)


def test_a_verdict_edited_from_no_to_yes_does_not_fit_its_exit_status(path):
    status.write(BAD, path)
    edit(path, exit=0)
    unread(path)


def test_nothing_there_is_said(path):
    assert "No such file" in unread(path)


def test_a_link_in_the_way_is_neither_followed_nor_believed(path, tmp_path):
    status.write(GOOD, path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.unlink(path)
    os.symlink(victim, path)
    assert "symbolic link" in unread(path)
    status.write(GOOD, path)
    assert victim.read_text() == "precious"
    assert status.read(60, path).result.exit == 0


def test_a_linked_folder_is_not_written_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(NotSeen, match="cannot be written"):
        status.write(GOOD, str(tmp_path / "run" / "status.json"))
    assert list((tmp_path / "real").iterdir()) == []


def test_a_folder_that_others_write_to_is_not_trusted(path, tmp_path):
    status.write(GOOD, path)
    (tmp_path / "run").chmod(0o777)
    assert "written by others" in unread(path)
    with pytest.raises(NotSeen, match="written by others"):
        status.write(GOOD, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_neither_write_nor_forge_it(path, tmp_path):
    status.write(BAD, path)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    code = f"""
import os, sys
sys.path.insert(0, {os.getcwd()!r})
from ddlcheck.gates import status  # as root: this Python may be where others cannot read
import select, _json
os.setgroups([]); os.setgid(4242); os.setuid(4242)
for act in (lambda: open({path!r}, 'w'), lambda: os.unlink({path!r}), lambda: os.rename({path!r}, {path!r} + 'x'),
            lambda: open({path!r} + '.new', 'w')):
    try:
        act()
        print('forged')
    except OSError:
        print('denied')
print(status.read(60, {path!r}).result.exit)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["denied"] * 4 + ["1"], done.stderr
    # His own file, at a place that he may write to, is his own word: root does not take it.
    os.chown(path, 4242, 4242)
    assert "belongs to user 4242" in unread(path)


def test_whoever_reads_meanwhile_reads_one_or_the_other(path):
    pid = os.fork()
    if not pid:
        for turn in range(300):
            status.write(GOOD if turn % 2 else BAD, path)
        os._exit(0)
    seen = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if os.path.exists(path):
            seen.add(status.read(60, path).result.exit)
    assert seen <= {0, 1}
    assert sorted(os.listdir(os.path.dirname(path))) == ["status.json"]
