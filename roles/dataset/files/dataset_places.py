"""Where a version of a data set is on a node, and what there is of it.

Beside the visible path ``dest``: ``.NAME@VERSION`` holds the files, ``.NAME@VERSION.manifest`` the manifest,
``.NAME@VERSION.stamp`` what was known when every byte was last proven, ``.NAME@VERSION.part`` what is not yet
complete; ``dest`` is a symbolic link that is switched last. Whoever reads an older version goes on reading it.
"""

import errno
import hashlib
import json
import os
import pwd
import shutil
import stat
import time

from dataset_manifest import parse, shard
from dataset_words import Trouble


class Places:
    """The paths of one version of a data set."""

    def __init__(self, spec):
        self.dest = spec["dest"].rstrip("/")
        self.parent = os.path.dirname(self.dest)
        base = "." + spec["name"]
        self.lock = os.path.join(self.parent, base + ".lock")
        version = base + "@" + spec["digest"][:16]
        self.manifest = os.path.join(self.parent, version + ".manifest")
        # Another shard of the same version is another folder: nodes may join and leave.
        self.name = version + ("-%dof%d" % (spec["index"] + 1, spec["count"]) if spec["count"] else "")
        self.folder = os.path.join(self.parent, self.name)
        self.part = self.folder + ".part"
        self.stamp = self.folder + ".stamp"


def wanted(spec, places):
    """Return what the manifest names; raise `Trouble` where it is not the declared one."""
    try:
        with open(places.manifest, "rb") as f:
            data = f.read()
    except FileNotFoundError:
        raise Trouble("the manifest is missing") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec["digest"]:
        raise Trouble(
            "the manifest is another one: its SHA-256 is %s, declared is %s" % (digest[:16], spec["digest"][:16])
        )
    return parse(data)


def mine(spec, entries):
    """Return the part of a data set that belongs on this node."""
    return shard(entries, spec["index"], spec["count"]) if spec["count"] else entries


def owner_of(spec):
    """Return the declared owner's number, None where none is declared."""
    if not spec.get("owner"):
        return None
    try:
        return int(spec["owner"]) if str(spec["owner"]).isdigit() else pwd.getpwnam(spec["owner"]).pw_uid
    except KeyError:
        raise Trouble("there is no user %s here" % spec["owner"]) from None


def look(spec, places):
    """Return what there is of a data set before any file is looked at."""
    try:
        kind = os.lstat(places.dest).st_mode
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return {"there": "nothing"}
    if stat.S_ISLNK(kind):
        target = os.readlink(places.dest)
        found = "link" if os.path.isdir(places.dest) else "dangling"
        return {"there": found, "target": target, "current": os.path.basename(target) == places.name}
    return {"there": "folder" if stat.S_ISDIR(kind) else "file"}


def state(spec):
    """Say what is there without looking at files: for the role, before it does anything."""
    places = Places(spec)
    said = look(spec, places)
    try:
        wanted(spec, places)
        said["manifest"] = True
    except Trouble:
        said["manifest"] = False
    said["complete"] = os.path.isdir(places.folder)
    said["parent"] = os.path.isdir(places.parent)
    said["rsync"] = shutil.which("rsync") is not None
    return said


def proven(places):
    """Return the newest change of any file when all were last proven, in nanoseconds; None where that is not known."""
    try:
        with open(places.stamp) as f:
            return int(json.load(f)["ctime_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_stamp(places, newest):
    """Write down that every byte was proven, and the newest change of any file then."""
    with open(places.stamp + ".new", "w") as f:
        json.dump({"ctime_ns": newest, "time": time.time()}, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(places.stamp + ".new", places.stamp)
