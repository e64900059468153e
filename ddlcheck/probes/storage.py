"""Mounts and data sets, looked at on a node: sent beside the agent when something of them is asked.

Standard library only, Python >= 3.6, no opinions.
"""

import hashlib
import json
import os
import time


def children():
    """Return the names of the part `children`, which the agent learns before this one."""
    return globals()["AGENT"]["PARTS"]["children"]


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
    name = os.path.join(children()["state_folder"](), "counters-" + children()["name_of"](path))
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
    probe = children()["in_child"](path, want["deadline"], lambda: touch(path, want["sentinel"]))
    now = counters(path)
    # Read after the probe: it may have triggered an automount.
    return {"data": {
        "mounts": covering([path] + want["also"]), "probe": probe, "counters": now, "before": remembered(path, now),
    }}  # fmt: skip


def op_dataset(want):
    def work():
        space = {"__name__": "dataset"}  # type: dict[str, object]
        exec(compile(globals()["AGENT"]["PROGRAMS"]["dataset"], "ddlcheck-dataset", "exec"), space)  # noqa: S102
        return space["quick_or_trouble"](want["spec"])  # type: ignore[operator]

    return {"data": children()["in_child"](want["spec"]["dest"], want["deadline"], work)}


OPS = {"mount": op_mount, "dataset": op_dataset}
