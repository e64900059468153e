"""What differs between the files of a folder and a manifest, looked at quickly or to the last byte."""

import errno
import os
import random
import stat
import time

from dataset_bytes import CHUNK, hash_all, hash_file, walk
from dataset_manifest import encoded
from dataset_places import Places, look, mine, owner_of, proven, wanted
from dataset_words import Trouble, out

#: Files of each kind that are named.
FIRST = 5


class Differences:
    """What differs, by kind: how many, and the first five."""

    KINDS = ("missing", "extra", "size", "content", "unreadable", "owner")

    def __init__(self):
        self.found = {kind: [0, []] for kind in self.KINDS}

    def add(self, kind, path):
        entry = self.found[kind]
        entry[0] += 1
        if len(entry[1]) < FIRST or path < entry[1][-1]:
            entry[1] = sorted([*entry[1], path])[:FIRST]

    def hold(self, path, found, size, uid):
        """Hold a file's size and owner against what they have to be."""
        if found.st_size != size:
            self.add("size", path)
        if uid is not None and found.st_uid != uid:
            self.add("owner", path)

    def any(self, *kinds):
        return any(self.found[kind][0] for kind in kinds or self.KINDS)

    def shown(self):
        return {
            kind: {"count": n, "first": [encoded(p) for p in first]} for kind, (n, first) in self.found.items() if n
        }


def words_for(diff):
    """Return the differences as one sentence."""
    shown = diff.shown()
    return "; ".join("%d %s (%s)" % (shown[k]["count"], k, ", ".join(shown[k]["first"])) for k in shown)


def compare(root, entries, uid, end=None):
    """Compare names, sizes and owners; return (differences, {path: ctime}, bytes, whether all was looked at)."""
    diff, times, size = Differences(), {}, [0]

    def seen(path, found):
        size[0] += found.st_size
        if path not in entries or not stat.S_ISREG(found.st_mode):
            diff.add("extra", path)
            return
        times[path] = found.st_ctime_ns
        diff.hold(path, found, entries[path][1], uid)

    whole = walk(root, seen, end)
    if whole:
        for path in entries:
            if path not in times:
                diff.add("missing", path)
    return diff, times, size[0], whole


def prove(root, entries, times, diff, progress, jobs=0):
    """Hash every file that is there; what differs is added to ``diff``, and returned."""
    of = {"of_files": len(times), "of_bytes": sum(entries[p][1] for p in times)}
    bad, done = [], [0]

    def hashed(path, digest, _error):
        done[0] += 1
        if digest != entries[path][0]:
            diff.add("unreadable" if digest is None else "content", path)
            bad.append(path)

    hash_all(root, sorted(times), hashed, lambda size: progress(dict(of, files=done[0], bytes=size)), jobs)
    return bad


def _begin(spec):
    """Return (places, what is there, the files that have to be), the files as None where there is no folder."""
    places = Places(spec)
    said = look(spec, places)
    if said["there"] not in ("link", "folder"):
        return places, said, None
    every = wanted(spec, places)
    entries = mine(spec, every)
    said.update(of_files=len(every), files=len(entries), bytes=sum(size for _, size in entries.values()))
    return places, said, entries


def quick(spec):
    """Return what can be said within ``spec["budget"]`` seconds: names, sizes, owners, some of the content."""
    begun = time.monotonic()
    end = begun + spec["budget"] * 0.9
    places, said, entries = _begin(spec)
    if entries is None:
        return said
    uid = owner_of(spec)
    if spec["walk"]:
        diff, times, size, whole = compare(places.dest, entries, uid, begun + spec["budget"] * 0.7)
        said.update(found_bytes=size, found_files=len(times) + diff.found["extra"][0], whole=whole)
    else:
        diff, times, whole = spot(places.dest, entries, uid)
        said["whole"] = False
    said["looked"] = len(times)
    said["changed"], said["sampled"], said["unproven"] = sample(places, entries, times, diff, spec["sample"], end)
    said.update(differences=diff.shown(), seconds=round(time.monotonic() - begun, 3))
    return said


def quick_or_trouble(spec):
    """Return `quick`, or what keeps us from looking at all."""
    try:
        return quick(spec)
    except Trouble as exc:
        return {"trouble": str(exc)}


def spot(root, entries, uid):
    """Look at a few files only: what is shared is walked by one node, and spot-checked by the others."""
    diff, times = Differences(), {}
    chosen = random.sample(sorted(entries), min(len(entries), 64))
    for path in chosen:
        try:
            found = os.stat(os.path.join(root, path))
        except OSError as exc:
            diff.add("missing" if exc.errno == errno.ENOENT else "unreadable", path)
            continue
        times[path] = found.st_ctime_ns
        diff.hold(path, found, entries[path][1], uid)
    return diff, times, False


def sample(places, entries, times, diff, count, end):
    """Read some files whole: first those that changed since all was proven, then others at random.

    Return how many changed, how many were read, and how many that changed were not.
    """
    newest = proven(places)
    right = [p for p in times if p not in diff.found["size"][1]]
    changed = sorted(p for p in right if newest is not None and times[p] > newest)
    others = sorted(set(right) - set(changed))
    chosen = changed + random.sample(others, min(len(others), count))
    buffer, read, missed, speed = bytearray(CHUNK), 0, 0, 200e6
    for number, path in enumerate(chosen):
        digest, size = entries[path]
        begun = time.monotonic()
        # The first is read in any case, unless it alone would take longer than we have.
        if begun + size / speed > end:
            missed += number < len(changed)
            continue
        try:
            if hash_file(os.path.join(places.dest, path), buffer) != digest:
                diff.add("content", path)
        except OSError:
            diff.add("unreadable", path)
        read += 1
        if size > CHUNK:
            speed = min(speed, max(1e6, size / max(1e-6, time.monotonic() - begun)))
    return len(changed), read, missed


def full(spec, progress=lambda done: out("progress", done)):
    """Return what every byte says."""
    begun = time.monotonic()
    places, said, entries = _begin(spec)
    if entries is None:
        return said
    diff, times, size, _ = compare(places.dest, entries, owner_of(spec))
    prove(places.dest, entries, times, diff, progress, spec.get("jobs", 0))
    said.update(
        found_bytes=size, whole=True, full=True, found_files=len(times) + diff.found["extra"][0],
        looked=len(times), sampled=len(times), changed=0, unproven=0,
        differences=diff.shown(), seconds=round(time.monotonic() - begun, 3),
    )  # fmt: skip
    return said
