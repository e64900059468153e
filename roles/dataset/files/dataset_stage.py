"""A version of a data set on disk: fetched, proven, and visible whole or not at all; mended where it was damaged."""

import contextlib
import fcntl
import os
import shutil
import stat

from dataset_bytes import walk
from dataset_differences import Differences, compare, prove, words_for
from dataset_places import Places, keep_stamp, look, mine, owner_of, proven, wanted
from dataset_sources import METHODS
from dataset_words import Trouble, out

#: Room to be left, beside what the files need: directories, and whoever else writes there.
SPARE = 64 << 20


def stage(spec):
    """Have this version on disk, proven, and visible; return what was done."""
    places = Places(spec)
    entries = mine(spec, wanted(spec, places))
    uid = owner_of(spec)
    said = look(spec, places)
    if said["there"] in ("folder", "file"):
        raise Trouble(
            "%s is a %s that was not staged: move it away, or declare method none" % (places.dest, said["there"])
        )
    with open(places.lock, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Trouble("another staging of %s is at work" % spec["name"]) from None
        fetched, mended = not os.path.isdir(places.folder), 0
        if fetched:
            fetch(spec, places, entries, uid)
        else:
            mended = mend(spec, places, entries, uid)
        switched = not said.get("current")
        if switched:
            switch(places)
    return {
        "fetched": fetched, "mended": mended, "switched": switched, "files": len(entries),
        "older": older(spec, places),
    }  # fmt: skip


def mend(spec, places, entries, uid):
    """Replace, file by file, what is no longer as it was proven; return how many files that were.

    A file is replaced by another one of its name, which was proven before: whoever has the old one open goes on
    reading it, and nobody finds none. What does not belong there is put aside, not deleted. Every byte is read where
    ``spec`` says so, otherwise what has changed.
    """
    diff, times, _, _ = compare(places.folder, entries, uid)
    newest = proven(places)
    right = {p: t for p, t in times.items() if os.stat(os.path.join(places.folder, p)).st_size == entries[p][1]}
    suspect = right if spec.get("full") or newest is None else {p: t for p, t in right.items() if t > newest}
    bad = {path for path in entries if path not in right}
    bad.update(prove(places.folder, entries, suspect, Differences(), proving))
    extra = []
    walk(places.folder, lambda path, _found: extra.append(path) if path not in entries else None)
    if not bad and not extra and not diff.any("owner"):
        return 0
    for path in extra:
        aside = os.path.join(places.folder + ".extra", path)
        os.makedirs(os.path.dirname(aside), exist_ok=True)
        os.rename(os.path.join(places.folder, path), aside)
    if bad:
        replace(spec, places, {path: entries[path] for path in bad}, uid)
    keep_stamp(places, own(places.folder, uid))
    return len(bad) + len(extra) + diff.found["owner"][0]


def replace(spec, places, todo, uid):
    """Fetch files anew into a folder of their own, prove them, and let them take the places of the damaged ones."""
    if spec["method"] not in METHODS:
        raise Trouble("%d files of %s are damaged, and no source is declared" % (len(todo), spec["name"]))
    enough(places, todo, set())
    places.part = places.folder + ".mend"
    # Of an earlier run: rsync would take a file of the right size and time for the right one.
    shutil.rmtree(places.part, ignore_errors=True)
    os.mkdir(places.part)
    METHODS[spec["method"]](spec, places, todo)
    left, times, _, _ = compare(places.part, todo, None)
    prove(places.part, todo, times, left, proving)
    if left.any():
        raise Trouble("%s could not be mended from its source: %s" % (spec["name"], words_for(left)))
    own(places.part, uid)
    for path in sorted(todo):
        os.makedirs(os.path.dirname(os.path.join(places.folder, path)), exist_ok=True)
        os.rename(os.path.join(places.part, path), os.path.join(places.folder, path))
    shutil.rmtree(places.part)


def proving(done):
    """Say how far the proof is."""
    out("progress", dict(done, doing="proving"))


def older(spec, places):
    """Return earlier versions that are still on disk: somebody may be reading them."""
    base = "." + spec["name"] + "@"
    names = [
        n for n in os.listdir(places.parent) if n.startswith(base) and n != places.name and "." not in n[len(base) :]
    ]
    return sorted(names)


def switch(places):
    """Let the visible path lead to this version, in one step."""
    temporary = places.dest + ".%d.link" % os.getpid()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(places.name, temporary)
    os.rename(temporary, places.dest)


def fetch(spec, places, entries, uid):
    """Bring what is still to come, prove all of it, and let it be complete."""
    os.makedirs(places.part, exist_ok=True)
    have = tidy(places.part, entries)
    enough(places, entries, have)
    bad = set()
    for _ in range(2):
        todo = {path: entry for path, entry in entries.items() if path not in have}
        METHODS[spec["method"]](spec, places, todo)
        diff, times, _, _ = compare(places.part, entries, None)
        bad = set(prove(places.part, entries, times, diff, proving))
        for path in list(bad) + diff.found["size"][1]:
            os.unlink(os.path.join(places.part, path))
        if not diff.any("missing", "size", "content", "unreadable"):
            break
        have = tidy(places.part, entries)
    else:
        raise Trouble("the source is not what the manifest says: %s" % words_for(diff))
    finish(places, uid)


def tidy(part, entries):
    """Take away what does not belong there; return the files whose size is right, which are proven later."""
    have = set()

    def seen(path, found):
        if path in entries and stat.S_ISREG(found.st_mode) and found.st_size == entries[path][1]:
            have.add(path)
        else:
            os.unlink(os.path.join(part, path))

    walk(part, seen)
    return have


def enough(places, entries, have):
    """Raise `Trouble` where there is no room for what is still to come."""
    need = sum(size for path, (_, size) in entries.items() if path not in have)
    room = os.statvfs(places.parent)
    free = room.f_bavail * room.f_frsize
    if need and free < need + min(SPARE, need // 10):
        raise Trouble("%s has %d MiB left, %d MiB are needed" % (places.parent, free >> 20, need >> 20))
    if room.f_files and room.f_favail < len(entries) - len(have):
        raise Trouble("%s has %d inodes left, %d are needed" % (places.parent, room.f_favail, len(entries) - len(have)))


def finish(places, uid):
    """Give the files to their owner, keep what was proven, and let the folder have its name: that makes it complete."""
    keep_stamp(places, own(places.part, uid))
    os.rename(places.part, places.folder)
    folder = os.open(places.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def own(root, uid):
    """Give everything below to its owner; return the newest change of any file, in nanoseconds."""
    newest = 0
    for below, _, names in os.walk(root):
        for path in [below] + [os.path.join(below, name) for name in names]:
            found = os.stat(path)
            if uid is not None and found.st_uid != uid:
                os.chown(path, uid, -1)
                found = os.stat(path)
            if path != below:
                newest = max(newest, found.st_ctime_ns)
    return newest
