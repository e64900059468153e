"""Where the files come from: a folder, what rsync reaches, an archive. Each brings what is still to come, as it can."""

import os
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import zipfile

from dataset_bytes import CHUNK, hash_file
from dataset_words import Trouble, out


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
