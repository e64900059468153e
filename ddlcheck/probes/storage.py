"""Shared storage, looked at on a node: sent beside the agent when something of it is asked.

Whatever touches a mount does so in a child of its own: a server that is gone leaves it in D state, where no signal
reaches it. It is killed and *not* waited for. As long as it lives it holds a lock named by the mount, so however
often we come back, at most one is stuck on each mount. Standard library only, Python >= 3.6, no opinions.
"""

import errno
import fcntl
import hashlib
import json
import os
import pwd
import select
import signal
import stat
import time

TOKEN = ".ddlcheck-token."
#: Seconds after which a token that nobody removed is a leftover of a run that was killed.
OLD = 3600.0
MAX = 1 << 20
ROUNDS = 10


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


def touch(path, sentinel):
    """Use a mount as a job would: open it (which triggers an automount), ask for its size, read the sentinel."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    here, size = os.fstat(fd), os.fstatvfs(fd)
    with os.scandir(path) as entries:
        empty = next(iter(entries), None) is None
    out = {  # type: dict[str, object]
        "dev": here.st_dev, "parent": os.stat(os.path.dirname(path.rstrip("/")) or "/").st_dev,
        "uid": here.st_uid, "mode": here.st_mode & 0o7777, "empty": empty,
        "block": size.f_frsize, "blocks": size.f_blocks, "free": size.f_bfree, "available": size.f_bavail,
        "files": size.f_files, "files_free": size.f_ffree, "readonly": bool(size.f_flag & os.ST_RDONLY),
    }  # fmt: skip
    if sentinel:
        with open(os.path.join(path, sentinel), "rb") as f:
            out["sentinel"] = hashlib.sha256(f.read(4096)).hexdigest()
    return out


def unescaped(word):
    """Undo the octal escapes of /proc, which writes a blank in a path as 040 after a backslash."""
    parts = word.split("\\")
    return parts[0] + "".join(chr(int(p[:3], 8)) + p[3:] if p[:3].isdigit() else "\\" + p for p in parts[1:])


def covering(paths):
    """Return the lines of mountinfo whose mount points are on the way to any of the paths; touches no mount."""
    out = []
    with open("/proc/self/mountinfo", errors="replace") as f:
        for line in f:
            point = unescaped(line.split()[4])
            if any(p == point or p.startswith(point.rstrip("/") + "/") for p in paths):
                out.append(line.rstrip("\n"))
    return out


def counters(path):
    """Return the NFS client's counters of one mount, None where it is no NFS; touches no mount."""
    out, ours, per_op = {}, False, False
    try:
        with open("/proc/self/mountstats", errors="replace") as f:
            for line in f:
                words = line.split()
                if words[:1] == ["device"]:
                    ours, per_op = len(words) > 4 and unescaped(words[4]) == path and "fstype" in words, False
                    if ours and words[words.index("fstype") + 1].startswith("nfs"):
                        out = dict.fromkeys(("ops", "sent", "timeouts", "sends", "recvs", "age"), 0)
                    else:
                        ours = False
                elif ours and words[:1] == ["age:"]:
                    out["age"] = int(words[1])
                elif ours and words[:1] == ["xprt:"] and len(words) > 9:
                    out["sends"] += int(words[7])  # TCP and RDMA alike: after port, binds, connects, their time, idle
                    out["recvs"] += int(words[8])
                elif ours and words[:1] == ["per-op"]:
                    per_op = True
                elif ours and per_op and len(words) > 3 and words[0].endswith(":"):
                    for name, word in zip(("ops", "sent", "timeouts"), words[1:4]):  # noqa: B905 - Python 3.10
                        out[name] += int(word)
    except (OSError, ValueError, IndexError):
        return None
    return out or None


def remembered(path, now):
    """Return the counters of the last look and when it was, and keep these in their place."""
    name = os.path.join(state_folder(), "counters-" + name_of(path))
    try:
        with open(name) as f:
            before = json.load(f)
    except (OSError, ValueError):
        before = None
    if now is not None:
        with open("%s.%d" % (name, os.getpid()), "w") as f:
            json.dump(dict(now, time=time.time()), f)
        os.rename(f.name, name)
    return before


def op_mount(want):
    path = want["path"]
    probe = in_child(path, want["deadline"], lambda: touch(path, want["sentinel"]))
    now = counters(path)
    # Read after the probe: it may have triggered an automount.
    return {"data": {
        "mounts": covering([path] + want["also"]), "probe": probe, "counters": now, "before": remembered(path, now),
    }}  # fmt: skip


# ---- tokens: what one node writes, every other has to see


def be(user):
    """Become a user, for good: called in a child only."""
    entry = pwd.getpwnam(user)
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def token_path(want, name):
    return os.path.join(want["folder"], TOKEN + want["nonce"] + "." + name)


def text_for(want, name):
    return ("%s %s\n" % (want["nonce"], name)).encode()


def put(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def get(path):
    """Return a small file's bytes, None where there is none; opening asks the server anew, which stat does not."""
    try:
        with open(path, "rb") as f:
            return f.read(4096)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise


def write(want):
    folder, user, who = want["folder"], want["user"], pwd.getpwuid(os.geteuid()).pw_name
    path = token_path(want, want["me"])
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        os.close(fd)
    except PermissionError:
        # A squashed root is nobody; jobs do not run as root anyway.
        if not user or os.geteuid() != 0:
            raise
        be(user)
        who = user
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))
    for entry in os.listdir(folder):
        left = os.path.join(folder, entry)
        if entry.startswith(TOKEN) and time.time() - os.lstat(left).st_mtime > OLD:
            try:
                os.unlink(left)
            except OSError:
                pass
    before = time.time()
    put(path, text_for(want, want["me"]))
    after = time.time()
    found = os.stat(path)
    return {
        "as": who,
        "uid": os.geteuid(),
        "owner": found.st_uid,
        "mtime": found.st_mtime,
        "before": before,
        "after": after,
    }


def until(want, names, seen):
    """Poll until ``seen(name)`` of all; return {name: seconds it took, None where time was up}."""
    begun, out = time.monotonic(), {}
    while True:
        for name in names:
            if name not in out and seen(name):
                out[name] = round(time.monotonic() - begun, 3)
        if len(out) == len(names) or time.monotonic() - begun > want["within"]:
            return {name: out.get(name) for name in names}
        time.sleep(0.05)


def read(want):
    return {"seen": until(want, want["names"], lambda name: get(token_path(want, name)) == text_for(want, name))}


def gone(want):
    return {"seen": until(want, want["names"], lambda name: get(token_path(want, name)) is None)}


def remove(want):
    out = {"count": None}  # type: dict[str, object]
    counted = get(token_path(want, "lock")) if "lock" in want["names"] else None
    if counted is not None:
        out["count"] = int(counted)
    for name in want["names"]:
        try:
            os.unlink(token_path(want, name))
        except FileNotFoundError:
            pass
    return out


def meet(want, kind):
    """Wait until every node is at this point."""
    put(token_path(want, kind + "." + want["me"]), b"here\n")
    late = until(want, want["names"], lambda name: get(token_path(want, kind + "." + name)) is not None)
    return sorted(name for name, seconds in late.items() if seconds is None)


def lock(want):
    """Count up in a file under its lock, with every other node at once: what is lost was not exclusive."""
    absent = meet(want, "lock-at")
    path = token_path(want, "lock")
    for _ in range(ROUNDS):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            count = int(os.pread(fd, 64, 0) or b"0")
            time.sleep(0.002)
            os.pwrite(fd, b"%d" % (count + 1), 0)
            os.fsync(fd)
            fcntl.lockf(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)
    return {"rounds": ROUNDS, "absent": absent}


def rename(want):
    """The first node replaces a file again and again; the others must always find a whole one."""
    path, first = token_path(want, "rename"), want["me"] == want["names"][0]
    if first:
        put(path, b"%-1000d\n" % 0)
    absent = meet(want, "rename-at")
    out = {"missing": 0, "torn": 0, "last": -1, "rounds": ROUNDS, "absent": absent}
    if first:
        for number in range(1, ROUNDS + 1):
            put(path + ".new", b"%-1000d\n" % number)
            os.rename(path + ".new", path)
            time.sleep(0.02)
        out["last"] = ROUNDS
        return out
    end = time.monotonic() + want["within"] + ROUNDS * 0.02
    while out["last"] < ROUNDS and time.monotonic() < end:
        data = get(path)
        out["missing"] += data is None
        if data is not None and len(data) != 1001:
            out["torn"] += 1
        elif data:
            out["last"] = int(data)
        time.sleep(0.005)
    return out


def together(want):
    """Try what is declared of files that several nodes change at once."""
    return {kind: step(want) for kind, step in (("rename", rename), ("lock", lock)) if want[kind]}


STEPS = {"write": write, "read": read, "gone": gone, "remove": remove, "together": together}


def op_token(want):
    step = STEPS[want["step"]]

    def work():
        if want["as"] and want["as"] != pwd.getpwuid(os.geteuid()).pw_name:
            be(want["as"])
        return step(want)

    return {"data": in_child(want["path"], want["deadline"], work)}


def op_dataset(want):
    def work():
        space = {"__name__": "dataset"}  # type: dict[str, object]
        exec(compile(globals()["AGENT"]["PROGRAMS"]["dataset"], "ddlcheck-dataset", "exec"), space)  # noqa: S102
        return space["quick_or_trouble"](want["spec"])  # type: ignore[operator]

    return {"data": in_child(want["spec"]["dest"], want["deadline"], work)}


OPS = {"mount": op_mount, "token": op_token, "dataset": op_dataset}
