"""Looks that start no process and ask no name service: what the node gate can afford ten thousand times a day.

The agent is sent it, too, where a check wants such a look, so it needs nothing but Python >= 3.6; and it imports
nothing that costs milliseconds, because the gate's start-up is a figure we publish. None of it grows with the
processes, the lines of /proc/cpuinfo or the mounts of a node.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of one file that are kept.
MAX_FILE = 256 * 1024
#: Where systemd's units are, by cgroup version: v2, hybrid, v1.
UNIT_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
CPUS = "/sys/devices/system/cpu"


def read_bytes(path: str, most: int = MAX_FILE) -> bytes:
    """Return a file's content, in as few system calls as there can be; raise ValueError when it is too large."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts, size = [], 0  # type: list[bytes], int
        while True:
            part = os.read(fd, 65536)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > most:
                raise ValueError("%s holds more than %d bytes" % (path, most))
    finally:
        os.close(fd)


def read_text(path: str) -> str:
    """Return a file's text; what is no UTF-8 is replaced."""
    return read_bytes(path).decode("utf-8", "replace")


def refusal(exc: Exception) -> "tuple[str, str]":
    """Return (why, sentence) of an exception, in the words of an answer."""
    if isinstance(exc, FileNotFoundError):
        return "missing", str(exc)
    return ("denied" if isinstance(exc, PermissionError) else "failed"), "%s: %s" % (type(exc).__name__, exc)


def stat_of(path: str) -> "dict[str, object]":
    """Return what a path is: kind, mode, owner, group, size in bytes, and time of change."""
    link = os.lstat(path)
    is_link = link.st_mode & 0o170000 == 0o120000
    found = os.stat(path) if is_link else link
    kinds = {0o100000: "file", 0o040000: "directory", 0o020000: "character", 0o060000: "block", 0o010000: "fifo",
             0o140000: "socket"}  # fmt: skip
    return {
        "kind": kinds.get(found.st_mode & 0o170000, "other"), "link": is_link,
        "mode": "%04o" % (found.st_mode & 0o7777), "uid": found.st_uid, "gid": found.st_gid,
        "size": found.st_size, "mtime": found.st_mtime,
    }  # fmt: skip


MOUNTS = []  # type: list[bytes]


def mount_of(path: str) -> "dict[str, str]":
    """Return what is mounted at a path or nearest above it: ``{"at", "source", "type", "options"}``.

    The table is read once, and searched as bytes: a node may have thousands of mounts.
    """
    if not MOUNTS:
        MOUNTS.append(b"\n" + read_bytes("/proc/self/mounts", 64 << 20))
    table, at = MOUNTS[0], os.fsencode(path).rstrip(b"/")
    while True:
        place = at.replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\t", b"\\011")
        found = table.rfind(b" " + (place or b"/") + b" ")  # the last one is on top
        if found >= 0:
            line = (
                table[table.rfind(b"\n", 0, found) + 1 : table.find(b"\n", found)].decode("utf-8", "replace").split(" ")
            )
            return {"at": os.fsdecode(at or b"/"), "source": line[0], "type": line[2], "options": line[3]}
        if not at:
            return {"at": "", "source": "", "type": "", "options": ""}
        at = at.rpartition(b"/")[0]


def space_of(path: str) -> "dict[str, object]":
    """Return the size and the free space of a path's file system in KiB, its inodes, and what is mounted there."""
    found = os.statvfs(path)
    unit = found.f_frsize
    return dict({
        "size": found.f_blocks * unit // 1024, "free": found.f_bavail * unit // 1024,
        "used": (found.f_blocks - found.f_bfree) * unit // 1024, "files": found.f_files, "files_free": found.f_ffree,
    }, **mount_of(path))  # fmt: skip


def each_path(look: "Callable[[str], dict[str, object]]", paths: "list[str]") -> "dict[str, dict[str, object]]":
    """Return ``{path: what look says}``; what cannot be looked at has only ``why`` and ``err``."""
    out = {}
    for path in paths:
        try:
            out[path] = look(path)
        except OSError as exc:
            why, err = refusal(exc)
            out[path] = {"why": why, "err": err}
    return out


def unit_pid(unit: str) -> str:
    """Return the process of a systemd unit that systemd itself started, as text; "" when none runs."""
    pids = _pids_of(unit)
    # The others are its children; a daemon that forks thousands is not walked through.
    for pid in pids[:64]:
        try:
            parent = read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if parent == "1":
            return pid
    return pids[0] if pids else ""


def _pids_of(unit: str) -> "list[str]":
    """Return the processes of a unit, or of its first group below that has any: a unit may delegate."""
    for root in UNIT_GROUPS:
        folder = "%s/system.slice/%s" % (root, unit)
        try:
            found = read_text(folder + "/cgroup.procs").split()
            names = [] if found else sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            try:
                found = read_text("%s/%s/cgroup.procs" % (folder, name)).split()
            except OSError:
                continue
            if found:
                break
        if found:
            return found
    return []


def has_units() -> bool:
    """Whether the services' control groups can be seen here."""
    return any(os.path.isdir(root + "/system.slice") for root in UNIT_GROUPS)


def list_of(text: str) -> "set[int]":
    """Return the numbers of a kernel list: ``0-3,8`` is {0, 1, 2, 3, 8}."""
    out = set()  # type: set[int]
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if first:
            out.update(range(int(first), int(last if dash else first) + 1))
    return out


def processors() -> "dict[str, int]":
    """Return how many sockets, cores and threads are online, in a few reads for each socket.

    Cores are counted by the first core of each socket: the threads of all cores of a socket are taken to be as many.
    """
    online = list_of(read_text(CPUS + "/online"))
    out = {"sockets": 0, "cores": 0, "threads": len(online)}
    left = set(online)
    while left:
        place = "%s/cpu%d/topology/" % (CPUS, min(left))
        try:
            package = list_of(read_text(place + "package_cpus_list"))
            core = list_of(read_text(place + "core_cpus_list"))
        except FileNotFoundError:  # their names before Linux 5.3
            package = list_of(read_text(place + "core_siblings_list"))
            core = list_of(read_text(place + "thread_siblings_list"))
        here = (package & left) or {min(left)}
        out["sockets"] += 1
        out["cores"] += -(-len(here) // max(1, len(core & online)))  # rounded up: a thread may be offline
        left -= here
    return out


def op_stat(want: "dict[str, list[str]]") -> "dict[str, object]":
    return {"data": each_path(stat_of, want["paths"])}


def op_space(want: "dict[str, list[str]]") -> "dict[str, object]":
    return {"data": each_path(space_of, want["paths"])}


def op_processors(_want: object) -> "dict[str, object]":
    return {"data": processors()}


#: What the agent answers with them; `proc` it asks of systemd, which knows the main process for sure.
OPS = {"stat": op_stat, "space": op_space, "processors": op_processors}
