"""Looks at what may never answer: each in a child of its own, on a node, sent beside the agent with who needs it.

Whatever touches a mount does so here: a server that is gone leaves the child in D state, where no signal reaches it.
It is killed and *not* waited for. As long as it lives it holds a lock named by the mount, so however often we come
back, at most one is stuck on each mount. Standard library only, Python >= 3.6, no opinions.
"""

import fcntl
import hashlib
import json
import os
import select
import signal
import stat
import time

#: Bytes that a child may say.
MAX = 1 << 20


def state_folder():
    """Return a folder that only we can write to and that a reboot empties."""
    uid = os.geteuid()
    path = "/run/ddlcheck" if uid == 0 else "/tmp/.ddlcheck-%d" % uid
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise PermissionError("%s is not a folder of our own" % path)
    return path


def name_of(path):
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def child_of(write, lock, work):
    """Be the child: let go of everything that others may wait for, work, say what came of it, end."""
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        # Pipes of other threads' commands among them: a stuck child must not keep their readers.
        for entry in os.listdir("/proc/self/fd"):
            if int(entry) > 2 and int(entry) not in (write, lock):
                try:
                    os.close(int(entry))
                except OSError:
                    pass
        os.pwrite(lock, b"%-12d" % os.getpid(), 0)
        try:
            out = work()
        except OSError as exc:
            out = {"errno": exc.errno, "error": exc.strerror or str(exc), "at": str(exc.filename or "")}
        except Exception as exc:
            out = {"errno": 0, "error": "%s: %s" % (type(exc).__name__, exc), "at": ""}
        data = memoryview(json.dumps(out).encode("ascii"))
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def locked(fd, end):
    """Take the lock, waiting for another run's child until ``end``; say whether we have it."""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)


def in_child(path, seconds, work):
    """Return what ``work`` returned in a child; ``state`` says what is the matter, empty for nothing.

    ``late``: it did not answer in time, and ended when it was killed. ``hung``: it did not even end. ``stuck``:
    the child of an earlier run is still there, so none was started; ``pid`` is its process.
    """
    begun = time.monotonic()
    end = begun + seconds
    lock = os.open(os.path.join(state_folder(), "mount-" + name_of(path)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not locked(lock, end):
            words = os.pread(lock, 12, 0).split()
            return {"state": "stuck", "pid": int(words[0]) if words else 0}
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            child_of(write, lock, work)
        os.close(write)
        data, whole = listen(read, end)
        if whole:
            os.waitpid(pid, 0)
            out = json.loads(data.decode("ascii")) if data else {"errno": 0, "error": "the probe died", "at": ""}
            out.update(state="", ms=round((time.monotonic() - begun) * 1000, 2))
            return out
        os.kill(pid, signal.SIGKILL)
        return {"state": "late" if ended(pid, 0.5) else "hung", "pid": pid, "seconds": seconds}
    finally:
        os.close(lock)


def listen(read, end):
    """Read a pipe to its end or until time is up; return (bytes, whether it was the end)."""
    data = b""
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([read], [], [], left)[0]:
                return data, False
            chunk = os.read(read, 65536)
            if not chunk:
                return data, True
            data += chunk
            if len(data) > MAX:
                return data, False
    finally:
        os.close(read)


def ended(pid, seconds):
    """Say whether a killed child ends; never wait longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    return False


#: It answers nothing itself.
OPS = {}  # type: dict[str, object]
