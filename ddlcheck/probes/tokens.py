"""Tokens on shared storage: what one node writes, every other has to see. Sent beside the agent when that is asked.

Standard library only, Python >= 3.6, no opinions.
"""

import errno
import fcntl
import os
import pwd
import time

TOKEN = ".ddlcheck-token."
#: Seconds after which a token that nobody removed is a leftover of a run that was killed.
OLD = 3600.0
ROUNDS = 10
#: How many times the declared seconds all rounds of what is tried together may take.
SLOW = 4


def children():
    """Return the names of the part `children`, which the agent learns before this one."""
    return globals()["AGENT"]["PARTS"]["children"]


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
    begun = changed = time.monotonic()
    pause = 0.005
    # From the last change that was seen: a server that syncs slowly makes the writer slow, which is not our delay.
    while out["last"] < ROUNDS and time.monotonic() < min(changed + want["within"], begun + SLOW * want["within"]):
        before, data = out["last"], get(path)
        out["missing"] += data is None
        if data is not None and len(data) != 1001:
            out["torn"] += 1
        elif data:
            out["last"] = int(data)
        if out["last"] != before:
            changed, pause = time.monotonic(), 0.005
        time.sleep(pause)
        # Slower and slower: opened again before its last close was done, an old file lives on at an NFS server.
        pause = min(0.25, pause * 1.3)
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

    return {"data": children()["in_child"](want["path"], want["deadline"], work)}


OPS = {"token": op_token}
