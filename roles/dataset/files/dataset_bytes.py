"""Files of a folder, found and read: one walk for all that look, and as many threads as there are cores to hash."""

import hashlib
import os
import threading
import time

CHUNK = 1 << 20


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


def hash_file(path, buffer, moved=None):
    """Return the SHA-256 of a file; reading and hashing let other threads run. ``moved[0]`` grows with the bytes."""
    digest, view = hashlib.sha256(), memoryview(buffer)
    with open(path, "rb", buffering=0) as f:
        while True:
            size = f.readinto(buffer)
            if not size:
                return digest.hexdigest()
            digest.update(view[:size])
            if moved:
                moved[0] += size


def cores():
    return len(os.sched_getaffinity(0))


def hash_all(root, paths, done, progress, jobs=0):
    """Call ``done(path, digest or None, error)`` for every file, ``jobs`` at a time; return when all are read.

    ``progress(bytes read so far)`` is called once a second: a file alone may take minutes.
    """
    todo, lock, read = iter(paths), threading.Lock(), []

    def work():
        buffer, moved = bytearray(CHUNK), [0]
        read.append(moved)
        while True:
            with lock:
                path = next(todo, None)
            if path is None:
                return
            try:
                found, error = hash_file(os.path.join(root, path), buffer, moved), ""
            except OSError as exc:
                found, error = None, exc.strerror or str(exc)
            with lock:
                done(path, found, error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(jobs or cores())]
    for thread in threads:
        thread.start()
    last = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.05)
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            progress(sum(moved[0] for moved in list(read)))
