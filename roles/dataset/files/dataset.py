"""Data sets on a node: a manifest of them, copies that become visible whole or not at all, and their bytes proven.

Run as ``python3 dataset.py VERB JSON`` with VERB one of manifest, stage, quick, full; prints one JSON object a line,
``{"progress": …}`` while at work and ``{"result": …}`` or ``{"error": …}`` at the end. Standard library, Python >= 3.6.

A manifest is text: ``ddlcheck-manifest 1 FILES BYTES``, then a line for each file, ``SHA256 SIZE PATH``, sorted by
path; what would break a line is percent-encoded. Its own SHA-256 is the name of this version of the data set.

On disk, beside the visible path ``dest``: ``.NAME@VERSION`` holds the files, ``.NAME@VERSION.manifest`` the manifest,
``.NAME@VERSION.stamp`` what was known when every byte was last proven, ``.NAME@VERSION.part`` what is not yet
complete; ``dest`` is a symbolic link that is switched last. Whoever reads an older version goes on reading it.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

FIRST = 5
CHUNK = 1 << 20
HEADER = "ddlcheck-manifest 1"
#: Room to be left, beside what the files need: directories, and whoever else writes there.
SPARE = 64 << 20


class Trouble(Exception):  # noqa: N818 - it is no error of ours
    """What keeps us from going on, in one sentence."""


def out(kind, body):
    sys.stdout.write(json.dumps({kind: body}) + "\n")
    sys.stdout.flush()


# ---- manifests


def encoded(path):
    return urllib.parse.quote(os.fsencode(path), safe="/!#$&'()*+,;:=?@[]^_`{|}~")


def decoded(text):
    return os.fsdecode(urllib.parse.unquote_to_bytes(text)) if "%" in text else text


def walk(root, seen, end=None):
    """Call ``seen(relative path, stat)`` for every file below; say whether time was enough."""
    todo = [""]
    while todo:
        below = todo.pop()
        with os.scandir(os.path.join(root, below)) as entries:
            for entry in entries:
                path = below + "/" + entry.name if below else entry.name
                if entry.is_dir(follow_symlinks=False):
                    todo.append(path)
                else:
                    seen(path, entry.stat() if exists(entry) else entry.stat(follow_symlinks=False))
        if end is not None and time.monotonic() > end:
            return False
    return True


def exists(entry):
    """Say whether an entry is, or leads to, a file: a link that leads nowhere is judged as itself."""
    return entry.is_file()


def hash_file(path, buffer):
    """Return the SHA-256 of a file; reading and hashing let other threads run."""
    digest, view = hashlib.sha256(), memoryview(buffer)
    with open(path, "rb", buffering=0) as f:
        while True:
            size = f.readinto(buffer)
            if not size:
                return digest.hexdigest()
            digest.update(view[:size])


def cores():
    return len(os.sched_getaffinity(0))


def hash_all(root, paths, done, jobs=0):
    """Call ``done(path, digest or None, error)`` for every file, ``jobs`` at a time, in the calling thread's place."""
    todo, lock = iter(paths), threading.Lock()

    def work():
        buffer = bytearray(CHUNK)
        while True:
            with lock:
                path = next(todo, None)
            if path is None:
                return
            try:
                found, error = hash_file(os.path.join(root, path), buffer), ""
            except OSError as exc:
                found, error = None, exc.strerror or str(exc)
            with lock:
                done(path, found, error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(jobs or cores())]
    for thread in threads:
        thread.start()
    return threads


def watched(threads, progress):
    """Wait for threads, saying how far they are once a second."""
    last = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.05)
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            progress()


def make(root, progress=lambda _done: None, jobs=0):
    """Return the manifest of a folder, as text."""
    sizes, lines, wrong = {}, [], []

    def seen(path, found):
        if stat.S_ISREG(found.st_mode):
            sizes[path] = found.st_size
        else:
            wrong.append(path)

    walk(root, seen)
    if wrong:
        raise Trouble("%s is neither a file nor a folder: a data set holds nothing else" % wrong[0])
    if not sizes:
        raise Trouble("%s holds no file" % root)
    done = {"files": 0, "bytes": 0, "of_files": len(sizes), "of_bytes": sum(sizes.values())}

    def hashed(path, digest, error):
        if digest is None:
            wrong.append("%s: %s" % (path, error))
        else:
            lines.append((encoded(path), digest, sizes[path]))
            done["files"] += 1
            done["bytes"] += sizes[path]

    watched(hash_all(root, sorted(sizes), hashed, jobs), lambda: progress(done))
    if wrong:
        raise Trouble("cannot be read: %s" % wrong[0])
    body = "".join("%s %d %s\n" % (digest, size, path) for path, digest, size in sorted(lines))
    return "%s %d %d\n%s" % (HEADER, done["of_files"], done["of_bytes"], body)


def parse(data):
    """Return {path: (digest, size)} of a manifest's bytes; raise `Trouble` on anything that is none."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = [""]
    if not lines[0].startswith(HEADER + " ") or len(lines[0].split()) != 4 or lines.pop() != "":
        raise Trouble("that is no manifest of version 1, or it was cut short")
    entries = {}
    for line in lines[1:]:
        words = line.split(" ")
        if len(words) != 3 or len(words[0]) != 64 or not words[1].isdigit():
            raise Trouble("the manifest has a line of another form: %s" % line[:80])
        path = decoded(words[2])
        if path.startswith("/") or ".." in path.split("/") or "\0" in path or not path:
            raise Trouble("the manifest names a file outside of the data set: %s" % words[2][:80])
        entries[path] = (words[0], int(words[1]))
    files, size = lines[0].split()[2:4]
    if len(entries) != len(lines) - 1 or (int(files), int(size)) != (len(entries), sum(e[1] for e in entries.values())):
        raise Trouble("the manifest does not hold what its first line says: it was cut short, or edited")
    return entries


def shard(entries, index, count):
    """Return the part of node ``index`` of ``count``: every count-th file in the order of the manifest."""
    return {path: entries[path] for path in sorted(entries, key=encoded)[index::count]}


# ---- where things are


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

    def any(self, *kinds):
        return any(self.found[kind][0] for kind in kinds or self.KINDS)

    def shown(self):
        return {
            kind: {"count": n, "first": [encoded(p) for p in first]} for kind, (n, first) in self.found.items() if n
        }


def words_for(diff):
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
        if found.st_size != entries[path][1]:
            diff.add("size", path)
        if uid is not None and found.st_uid != uid:
            diff.add("owner", path)

    whole = walk(root, seen, end)
    if whole:
        for path in entries:
            if path not in times:
                diff.add("missing", path)
    return diff, times, size[0], whole


def owner_of(spec):
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


# ---- quick: two seconds


def quick(spec):
    begun = time.monotonic()
    end = begun + spec["budget"] * 0.9
    places = Places(spec)
    said = look(spec, places)
    if said["there"] not in ("link", "folder"):
        return said
    every = wanted(spec, places)
    entries = mine(spec, every)
    uid = owner_of(spec)
    said["of_files"] = len(every)
    said["files"], said["bytes"] = len(entries), sum(size for _, size in entries.values())
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
        if found.st_size != entries[path][1]:
            diff.add("size", path)
        if uid is not None and found.st_uid != uid:
            diff.add("owner", path)
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


# ---- full: every byte


def full(spec, progress=lambda done: out("progress", done)):
    begun = time.monotonic()
    places = Places(spec)
    said = look(spec, places)
    if said["there"] not in ("link", "folder"):
        return said
    every = wanted(spec, places)
    entries = mine(spec, every)
    diff, times, size, _ = compare(places.dest, entries, owner_of(spec))
    prove(places.dest, entries, times, diff, progress, spec.get("jobs", 0))
    said.update(
        of_files=len(every), files=len(entries), bytes=sum(s for _, s in entries.values()),
        found_bytes=size, whole=True, full=True, found_files=len(times) + diff.found["extra"][0],
        looked=len(times), sampled=len(times), changed=0, unproven=0,
        differences=diff.shown(), seconds=round(time.monotonic() - begun, 3),
    )  # fmt: skip
    return said


def prove(root, entries, times, diff, progress, jobs=0):
    """Hash every file that is there; what differs is added to ``diff``, and returned."""
    done = {"files": 0, "of_files": len(times), "bytes": 0, "of_bytes": sum(entries[p][1] for p in times)}
    bad = []

    def hashed(path, digest, error):
        done["files"] += 1
        done["bytes"] += entries[path][1]
        if digest != entries[path][0]:
            diff.add("unreadable" if digest is None else "content", path)
            bad.append(path)

    watched(hash_all(root, sorted(times), hashed, jobs), lambda: progress(done))
    return bad


# ---- stage


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

    A file is replaced by another one of its name: whoever has the old one open goes on reading it. What does not
    belong there is put aside, not deleted. Every byte is read where ``spec`` says so, otherwise what has changed.
    """
    diff, times, _, _ = compare(places.folder, entries, uid)
    newest = proven(places)
    suspect = times if spec.get("full") or newest is None else {p: t for p, t in times.items() if t > newest}
    right = {p: t for p, t in suspect.items() if os.stat(os.path.join(places.folder, p)).st_size == entries[p][1]}
    bad = set(
        prove(places.folder, entries, right, Differences(), lambda done: out("progress", dict(done, doing="proving")))
    )
    bad |= (
        {p for p in entries if p not in times}
        | {p for p in suspect if p not in right}
        | wrong_size(places, entries, times)
    )
    extra = []
    walk(places.folder, lambda path, _found: extra.append(path) if path not in entries else None)
    if not bad and not extra and not diff.any("owner"):
        return 0
    for path in extra:
        aside = os.path.join(places.folder + ".extra", path)
        os.makedirs(os.path.dirname(aside), exist_ok=True)
        os.rename(os.path.join(places.folder, path), aside)
    if bad and spec["method"] not in METHODS:
        raise Trouble("%d files of %s are damaged, and no source is declared" % (len(bad), spec["name"]))
    enough(places, {p: entries[p] for p in bad}, set())
    places.part = places.folder
    if bad:
        # Under a name of its own first: rsync would take a file of the right size and time for the right one.
        for path in sorted(bad):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(places.folder, path))
        METHODS[spec["method"]](spec, places, {p: entries[p] for p in bad})
    left, times, _, _ = compare(places.folder, entries, None)
    prove(places.folder, entries, {p: t for p, t in times.items() if p in bad}, left, lambda _done: None)
    if left.any():
        raise Trouble("%s could not be mended from its source: %s" % (spec["name"], words_for(left)))
    keep_stamp(places, own(places.folder, uid))
    return len(bad) + len(extra) + diff.found["owner"][0]


def wrong_size(places, entries, times):
    return {p for p in times if os.stat(os.path.join(places.folder, p)).st_size != entries[p][1]}


def proven(places):
    """Return the newest change of any file when all were last proven, in nanoseconds; None where that is not known."""
    try:
        with open(places.stamp) as f:
            return int(json.load(f)["ctime_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
    os.makedirs(places.part, exist_ok=True)
    have = tidy(places.part, entries)
    enough(places, entries, have)
    bad = set()
    for _ in range(2):
        todo = {path: entry for path, entry in entries.items() if path not in have}
        METHODS[spec["method"]](spec, places, todo)
        diff, times, _, _ = compare(places.part, entries, None)
        bad = set(prove(places.part, entries, times, diff, lambda done: out("progress", dict(done, doing="proving"))))
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


def keep_stamp(places, newest):
    with open(places.stamp + ".new", "w") as f:
        json.dump({"ctime_ns": newest, "time": time.time()}, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(places.stamp + ".new", places.stamp)


def keep(stream, path):
    """Write a stream to a file that appears whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".ddl-new", "wb") as f:
        shutil.copyfileobj(stream, f, CHUNK)
    os.rename(path + ".ddl-new", path)


def by_copy(spec, places, todo):
    done = {"doing": "copying", "files": 0, "of_files": len(todo)}
    last = time.monotonic()
    for path in sorted(todo):
        try:
            with open(os.path.join(spec["source"], path), "rb") as f:
                keep(f, os.path.join(places.part, path))
        except FileNotFoundError:
            continue  # named with all others that are missing
        done["files"] += 1
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            out("progress", done)


def by_rsync(spec, places, todo):
    names = "\0".join(sorted(todo))
    argv = [
        "rsync",
        "-t",
        "--partial",
        "--timeout=120",
        "--from0",
        "--files-from=-",
        "--",
        spec["source"].rstrip("/") + "/",
        places.part + "/",
    ]
    try:
        done = subprocess.run(argv, input=os.fsencode(names), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise Trouble("rsync is not installed") from None
    # 23 and 24: some files were not there, which is named when all is proven.
    if done.returncode not in (0, 23, 24):
        raise Trouble(
            "rsync ended with %d: %s" % (done.returncode, done.stderr.decode("utf-8", "replace").strip()[-300:])
        )


def by_archive(spec, places, todo):
    if not todo:
        return
    path = archive(spec, places)
    strip = int(spec.get("strip") or 0)

    def place_of(name):
        inside = "/".join(name.lstrip("./").split("/")[strip:])
        return os.path.join(places.part, inside) if inside in todo else None

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as whole:
            for name in whole.namelist():
                if place_of(name):
                    with whole.open(name) as f:
                        keep(f, place_of(name))
        return
    try:
        with tarfile.open(path, "r|*") as whole:
            for member in whole:
                if member.isfile() and place_of(member.name):
                    keep(whole.extractfile(member), place_of(member.name))
    except tarfile.TarError as exc:
        raise Trouble("%s is no archive that can be read: %s" % (spec["source"], exc)) from None


def archive(spec, places):
    """Return the path of the archive, fetched where it is not a file here, with its checksum right."""
    source = spec["source"]
    path = source
    if "://" in source:
        path = places.folder + ".archive"
        download(source, path + ".part")
        os.rename(path + ".part", path)
    if spec["checksum"] and hash_file(path, bytearray(CHUNK)) != spec["checksum"].lower():
        if path != source:
            os.unlink(path)
        raise Trouble("%s has another checksum than declared" % source)
    return path


def download(url, path):
    """Fetch the rest of a file: what came before an interruption is kept."""
    have = os.path.getsize(path) if os.path.exists(path) else 0
    if not url.startswith(("http://", "https://")):
        raise Trouble("%s: archives come from a path, or by http and https" % url)
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % have} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as exc:
        if have and exc.code == 416:  # all of it is here
            return
        raise Trouble("%s: %s" % (url, exc)) from None
    except OSError as exc:
        raise Trouble("%s: %s" % (url, exc)) from None
    with answer, open(path, "ab" if have and answer.getcode() == 206 else "wb") as f:
        shutil.copyfileobj(answer, f, CHUNK)
        promised = answer.headers.get("Content-Length")
    if promised and os.path.getsize(path) < int(promised):
        raise Trouble("%s: the connection was closed early; run it again to go on" % url)


METHODS = {"copy": by_copy, "rsync": by_rsync, "archive": by_archive}


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


def main(words):
    verb, spec = words[0], json.loads(words[1])
    # Who started us and went away needs no answer; what is complete by then stays.
    try:
        if verb == "manifest":
            text = make(spec["root"], lambda done: out("progress", done))
            out("result", {"manifest": text, "digest": hashlib.sha256(text.encode()).hexdigest()})
        else:
            out("result", {"stage": stage, "quick": quick, "full": full, "state": state}[verb](spec))
    except Trouble as exc:
        out("error", str(exc))
    except OSError as exc:
        out("error", "%s: %s" % (exc.filename or spec.get("dest", ""), exc.strerror or exc))


if __name__ == "__main__":
    main(sys.argv[1:])
