import os
import time

import pytest

from ddlcheck.errors import NodeError
from ddlcheck.fabric.files import Files
from ddlcheck.fabric.local import LocalHead
from ddlcheck.fabric.options import Options
from ddlcheck.fabric.stage import measure

HOSTS = {"n1": "n1", "n2": "n2"}


class Scripted(LocalHead):
    """A head whose mpirun tells its version and then does as it is told."""

    def __init__(self, cache, launch):
        super().__init__(cache=cache)
        self.launch = launch
        self.seen = []

    def stream(self, argv, **more):
        if argv[-1] == "mpirun":
            yield from ["1000", "mpirun (Open MPI) 4.1.4"]
        elif "rm -f" in argv[2]:
            yield from super().stream(argv, **more)
        else:
            self.seen += self._cache.iterdir()
            yield from self.launch()


def interrupted():
    yield "[n1:1] hello"
    raise KeyboardInterrupt


def lost():
    yield "[n1:1] hello"
    raise NodeError("closed", "the connection was lost")


def failing():
    yield "something failed"


def test_two_runs_at_once_write_different_files(tmp_path):
    head = LocalHead(cache=tmp_path)
    assert Files(head).put(b"a", "hosts") != Files(head).put(b"b", "hosts")


def test_a_file_written_twice_keeps_its_name(tmp_path):
    files = Files(LocalHead(cache=tmp_path))
    assert files.put(b"a", "hosts") == files.put(b"b", "hosts")


@pytest.mark.parametrize("launch", [lost, failing])
def test_nothing_is_left_of_a_run_that_failed(tmp_path, launch):
    head = Scripted(tmp_path, launch)
    assert measure(head, HOSTS, Options()).failure
    assert head.seen
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_run_that_was_interrupted(tmp_path):
    head = Scripted(tmp_path, interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(head, HOSTS, Options())
    assert head.seen
    assert list(tmp_path.iterdir()) == []


def test_only_old_files_of_other_runs_are_removed_and_the_programs_stay(tmp_path):
    files = Files(LocalHead(cache=tmp_path))
    files.put(b"a", "hosts")
    for name in ("fabric.hosts", "fabric.0123.hosts", ".fabric.0123.hosts.77", "rank-0123", "fabric.new.hosts"):
        (tmp_path / name).write_text("")
        if "new" not in name:
            os.utime(tmp_path / name, (time.time() - 90000,) * 2)
    files.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fabric.new.hosts", "rank-0123"]


def test_a_head_that_is_gone_does_not_hide_what_was_measured(tmp_path):
    class Gone(LocalHead):
        def stream(self, argv, **more):
            raise NodeError("timeout", "no answer in time")

    files = Files(Gone(cache=tmp_path))
    files.put(b"a", "hosts")
    files.remove()


def test_a_head_that_is_only_asked_leaves_no_directory(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    head = LocalHead()
    assert list(head.stream(["echo", "x"], deadline=30)) == ["x"]
    assert list(tmp_path.iterdir()) == []
    head.put(b"data", "file")
    head.close()
    assert list(tmp_path.iterdir()) == []
