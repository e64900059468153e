"""A file system that stops answering: said by name within the deadline, and one stuck child at most, however often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddlcheck import wants
from ddlcheck.lab import fuse
from ddlcheck.probes import local

pytestmark = pytest.mark.lab


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Path]:
    """A mount whose server has stopped; at the end the server is really gone, and everything ends."""
    path = tmp_path / "dead"
    path.mkdir()
    subprocess.run([sys.executable, fuse.__file__, "hung", str(path)], check=True, timeout=60)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)
        server = Path(fuse.PID)
        os.kill(int(server.read_text()), signal.SIGKILL)
        server.unlink()


def look(path: Path, deadline: float = 1.0) -> tuple[dict, float]:
    want = wants.mount(str(path), deadline=deadline)
    begun = time.monotonic()
    answer = local.gather({"m": want}, 60.0)["m"]
    return answer.need_data(), time.monotonic() - begun


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_hung_mount_is_said_in_time_and_leaves_one_child_however_often_it_is_asked(dead: Path) -> None:
    first, seconds = look(dead)
    assert first["probe"]["state"] == "hung"
    assert seconds < 30
    stuck = first["probe"]["pid"]
    assert alive(stuck)
    for _ in range(3):
        again, seconds = look(dead)
        assert (again["probe"]["state"], again["probe"]["pid"]) == ("stuck", stuck)
        assert seconds < 30
    others = subprocess.run(["ps", "-eo", "pid,stat"], capture_output=True, text=True, check=True).stdout
    assert alive(stuck), others


def test_a_mount_whose_server_is_back_is_looked_at_again(dead: Path, tmp_path: Path) -> None:
    stuck = look(dead)[0]["probe"]["pid"]
    os.kill(int(Path(fuse.PID).read_text()), signal.SIGKILL)  # the kernel ends every request that waits
    end = time.monotonic() + 60
    while alive(stuck) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(stuck)
    assert look(dead)[0]["probe"]["state"] == ""
    subprocess.run(["umount", "--lazy", str(dead)], check=False)
    found = look(dead)[0]["probe"]
    assert (found["state"], found["empty"]) == ("", True)
