"""What the Slurm adapter keeps on a node between its runs, and how it speaks: root's own files, and the journal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import syslog
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def say(priority: int, text: str) -> None:
    """Say it to the journal, and to slurmd, which logs it where the exit status is not 0."""
    print(text, flush=True)  # noqa: T201
    syslog.syslog(priority, text)


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.json")


def read(folder: str, name: str) -> dict[str, Any]:
    """Return what an earlier run kept; nothing where there is none, or it is not root's own file."""
    try:
        fd = os.open(_path(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, encoding="utf-8") as stream:
            held = os.fstat(fd)
            if held.st_uid != os.geteuid() or held.st_mode & 0o022:
                return {}
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(folder: str, name: str, record: dict[str, Any]) -> None:
    """Keep what was decided, whole or not at all."""
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            json.dump(record, stream)
            os.fchmod(fd, 0o644)
        os.replace(temporary, _path(folder, name))
    except OSError as error:
        say(syslog.LOG_ERR, f"{_path(folder, name)} cannot be written: {error.strerror}")


def forget(folder: str, name: str) -> None:
    """Remove a record."""
    try:
        os.unlink(_path(folder, name))
    except OSError:
        return


@contextlib.contextmanager
def alone(folder: str) -> Iterator[bool]:
    """Tell whether nobody else is in here; where that cannot be told, nobody is."""
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        path = os.path.join(folder, "slurm.lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield True
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
