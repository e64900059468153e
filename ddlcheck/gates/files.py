"""Files that decide whether a job may start: whose they are is part of what they say.

Read only as regular files of root (or of ourselves) that nobody else could have written or put there; written whole or
not at all.
"""

from __future__ import annotations

import os

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_KIND, _REGULAR, _FOLDER, _LINK = 0o170000, 0o100000, 0o040000, 0o120000
_OTHERS = 0o022  # write for group and for everybody


def read(path: str, most: int) -> bytes:
    """Return a file's bytes; raises `NotSeen` with one sentence when it cannot be trusted or read."""
    fd = _open(path)
    try:
        found = os.fstat(fd)
        if found.st_mode & _KIND != _REGULAR:
            raise NotSeen(f"{path} is no regular file")
        _own(path, found)
        if found.st_size > most:
            raise NotSeen(f"{path} holds {found.st_size} bytes: more than {most} is no file of ours")
        parts: list[bytes] = []
        size = 0
        while size <= most:
            part = os.read(fd, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise NotSeen(f"{path} holds more than {most} bytes: it is no file of ours")
    except OSError as exc:
        raise NotSeen(f"{path} cannot be read: {exc.strerror}") from exc
    finally:
        os.close(fd)


def _open(path: str) -> int:
    """Open a file below a folder that only its owner can write to; follow no symbolic link at the end."""
    folder, _, name = path.rpartition("/")
    try:
        above = os.open(folder or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise NotSeen(f"{path} cannot be read: {folder}: {exc.strerror}") from exc
    try:
        _own(folder or "/", os.fstat(above))
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    except OSError as exc:
        linked = _is_link(name, above)
        why = "is a symbolic link, which is not followed" if linked else f"cannot be read: {exc.strerror}"
        raise NotSeen(f"{path} {why}") from exc
    finally:
        os.close(above)


def _is_link(name: str, above: int) -> bool:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False).st_mode & _KIND == _LINK
    except OSError:
        return False


def _own(path: str, found: os.stat_result) -> None:
    """Refuse what another user owns or could change."""
    if found.st_uid not in (0, os.geteuid()):
        raise NotSeen(f"{path} belongs to user {found.st_uid}, not to root")
    # In a folder with the sticky bit (/tmp) nobody can replace what is not his.
    sticky = found.st_mode & _KIND == _FOLDER and found.st_mode & 0o1000
    if found.st_mode & _OTHERS and not sticky:
        raise NotSeen(f"{path} can be written by others (mode {found.st_mode & 0o7777:04o})")


def replace(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file in place of another; raises `NotSeen` where that cannot be done safely.

    The folder is made (0755) and has to be ours alone: in one that others write to, they could put a link in our way.
    """
    folder, _, name = path.rpartition("/")
    temporary = f".{name}.{os.getpid()}"
    try:
        try:
            os.mkdir(folder, 0o755)
        except FileExistsError:
            pass
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        raise NotSeen(f"{path} cannot be written: {folder}: {exc.strerror}") from exc
    try:
        found = os.fstat(above)
        _own(folder, found)
        if found.st_uid != os.geteuid():
            raise NotSeen(f"{path} cannot be written: {folder} belongs to user {found.st_uid}")
        _write(name, temporary, data, mode, above)
    except OSError as exc:
        raise NotSeen(f"{path} cannot be written: {exc.strerror}") from exc
    finally:
        os.close(above)


def _write(name: str, temporary: str, data: bytes, mode: int, above: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(temporary, flags, 0o600, dir_fd=above)
    except FileExistsError:  # of a process that had our number and was killed
        os.unlink(temporary, dir_fd=above)
        fd = os.open(temporary, flags, 0o600, dir_fd=above)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
    except OSError:
        quietly(lambda: os.unlink(temporary, dir_fd=above))
        raise


def quietly(act: Callable[[], object]) -> None:
    """Do what may fail without anybody having to know."""
    try:
        act()
    except OSError:
        pass
