"""What a judge in the gate sees: looked at when it is asked for, and not before.

Most of what a check wants only explains a failure; on a sound node nobody reads it. A want of the background tier is
answered with what that tier stamped. Paths on file systems that other machines serve are looked at in a child with a
deadline: a dead server holds whoever asks, and a child can be left behind.
"""

from __future__ import annotations

import os
import time

from ddlcheck.errors import NotSeen
from ddlcheck.gates import text
from ddlcheck.probes import quick
from ddlcheck.wants import Answer, slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from ddlcheck.wants import Want

#: Seconds a file system of another machine may take to say what it holds.
PATIENCE = 3.0
#: File systems that no other machine serves: asking them does not wait for a network.
LOCAL = frozenset((
    "bpf", "btrfs", "bcachefs", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "erofs",
    "exfat", "ext2", "ext3", "ext4", "f2fs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc",
    "pstore", "ramfs", "rootfs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "vfat", "xfs",
    "zfs",
))  # fmt: skip


class Look:
    """A mapping of a check's own names to answers; ``stamped(want)`` answers for the background tier."""

    def __init__(self, wants: Mapping[str, Want], stamped: Callable[[Want], Answer], *, service: bool = False) -> None:
        self._wants = wants
        self._stamped = stamped
        self._service = service
        self._got: dict[str, Answer] = {}

    def __getitem__(self, name: str) -> Answer:
        if name not in self._got:
            want = self._wants[name]
            begun = time.perf_counter()
            self._got[name] = found = self._stamped(want) if slow(want) else self._answer(want)
            found.ms = (time.perf_counter() - begun) * 1000
        return self._got[name]

    def __contains__(self, name: object) -> bool:
        return name in self._wants

    def __iter__(self) -> Iterator[str]:
        return iter(self._wants)

    def __len__(self) -> int:
        return len(self._wants)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - a mapping's
        """Return an answer, or the default for a name that is not wanted."""
        return self[name] if name in self._wants else default

    def values(self) -> list[Answer]:
        """Return the answers that were looked at."""
        return list(self._got.values())

    def _answer(self, want: Want) -> Answer:
        if want["op"] == "session":
            return _session("service" if self._service else "process")
        look = _OPS.get(want["op"])
        if look is None:
            return Answer(why="not asked", err=f"no gate looks at {want['op']!r}")
        try:
            return look(want)
        except (OSError, ValueError) as exc:
            why, err = quick.refusal(exc)
            return Answer(why=why, err=err)


def _read(want: Want) -> Answer:
    path = str(want["path"])
    near = path.startswith(("/proc/", "/sys/", "/etc/", "/run/")) or not is_remote(path)
    return Answer(quick.read_text(path) if near else _apart(path, quick.read_text))


def _read_all(want: Want) -> Answer:
    out = {}
    for path in sorted({p for pattern in want["patterns"] for p in expand(pattern)}, key=os.fsencode):
        try:
            out[path] = quick.read_text(path)
        except IsADirectoryError:
            continue
    return Answer(data=out)


def expand(pattern: str) -> list[str]:
    """Return the paths that match a pattern with ``*`` in any of its parts."""
    if "[" in pattern or "?" in pattern:
        from glob import glob  # noqa: PLC0415 - imports re; no check needs it so far

        return glob(pattern)
    head, star, _ = pattern.partition("*")
    if not star:
        return [pattern] if os.path.lexists(pattern) else []
    folder = head.rpartition("/")[0] or "/"
    part, _, below = pattern[len(folder.rstrip("/")) + 1 :].partition("/")
    out = []
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    for name in names:
        if _matches(name, part) and not (name[0] == "." and part[0] != "."):
            out += expand(f"{folder.rstrip('/')}/{name}/{below}") if below else [f"{folder.rstrip('/')}/{name}"]
    return out


def _matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern whose only special character is ``*``."""
    first, *rest = pattern.split("*")
    if not name.startswith(first):
        return False
    at = len(first)
    for word in rest[:-1]:
        found = name.find(word, at)
        if found < 0:
            return False
        at = found + len(word)
    return not rest or (len(name) - at >= len(rest[-1]) and name.endswith(rest[-1]))


def _proc(want: Want) -> Answer:
    """Answer with a file of the main process of each unit that runs, found by its control group."""
    if not quick.has_units():
        return Answer(why="missing", err="no control groups of systemd's services")
    out = {}
    for unit in want["units"]:
        pid = quick.unit_pid(unit)
        if pid:
            try:
                out[unit] = quick.read_text(f"/proc/{pid}/{want['name']}")
            except FileNotFoundError:  # it ended meanwhile
                continue
    return Answer(data=out)


def _session(of: str) -> Answer:
    """Answer with the limits of this very process, which are those of whoever started it."""
    import pwd  # noqa: PLC0415
    import resource  # noqa: PLC0415

    soft, hard = (
        "unlimited" if limit == resource.RLIM_INFINITY else str(limit // 1024)
        for limit in resource.getrlimit(resource.RLIMIT_MEMLOCK)
    )
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return Answer(data={"soft": soft, "hard": hard, "user": user, "noise": "", "of": of})


def _paths(look: Callable[[str], Any]) -> Callable[[Want], Answer]:
    def answer(want: Want) -> Answer:
        out = {}
        for path in want["paths"]:
            try:
                out[path] = _apart(path, look) if is_remote(path) else look(path)
            except OSError as exc:
                why, err = quick.refusal(exc)
                out[path] = {"why": why, "err": err}
            except NotSeen as exc:
                out[path] = {"why": "hung", "err": str(exc)}
        return Answer(data=out)

    return answer


_OPS: Mapping[str, Callable[[Want], Answer]] = {
    "read": _read,
    "read_all": _read_all,
    "proc": _proc,
    "stat": _paths(quick.stat_of),
    "space": _paths(quick.space_of),
    "processors": lambda _want: Answer(data=quick.processors()),
    "now": lambda _want: Answer(data=dict.fromkeys(("node", "after", "before"), time.time())),
}


def is_remote(path: str) -> bool:
    """Whether a path is on a file system that may wait for another machine; one that is not known may."""
    return quick.mount_of(path)["type"] not in LOCAL


def _apart(path: str, look: Callable[[str], Any]) -> Any:  # noqa: ANN401 - what look returns
    """Look in a child; leave it behind when it does not answer in time."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _child(writer, path, look)
    os.close(writer)
    try:
        data = receive(reader, time.monotonic() + PATIENCE)
    finally:
        os.close(reader)
        leave(pid)
    if data is None:
        raise NotSeen(f"{path} did not answer within {PATIENCE:g} s: the file system hangs")
    try:
        record = text.loads(data.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise NotSeen(f"{path}: whoever looked ended without a word") from None
    if "errno" in record:
        raise OSError(record["errno"], os.strerror(record["errno"]), path)
    return record["found"]


def _child(writer: int, path: str, look: Callable[[str], Any]) -> None:
    try:
        said = {"found": look(path)}
    except OSError as exc:
        said = {"errno": exc.errno or 5}
    except BaseException:  # noqa: BLE001 - nothing may come back from here
        os._exit(1)
    os.write(writer, text.dumps(said).encode())
    os._exit(0)


def receive(fd: int, end: float, parts: list[bytes] | None = None) -> bytes | None:
    """Return all that comes before the other side closes; None when the moment ``end`` comes first.

    What had come by then is in ``parts``.
    """
    import select  # noqa: PLC0415

    poll, parts = select.poll(), [] if parts is None else parts
    poll.register(fd, select.POLLIN)
    while True:
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000 + 1):
            return None
        part = os.read(fd, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def leave(pid: int, *, group: bool = False) -> None:
    """Kill a child and do not wait for it: one in D state dies when its file system answers."""
    for target in (-pid, pid) if group else (pid,):
        try:
            os.kill(target, 9)
        except OSError:
            continue
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass
