"""What a data set is: every file's path, size and SHA-256, listed once.

A manifest is text: ``ddlcheck-manifest 1 FILES BYTES``, then a line for each file, ``SHA256 SIZE PATH``, sorted by
path; what would break a line is percent-encoded. Its own SHA-256 is the name of this version of the data set.
"""

import os
import stat
import urllib.parse

from dataset_bytes import hash_all, walk
from dataset_words import Trouble

HEADER = "ddlcheck-manifest 1"


def encoded(path):
    """Return a path as a manifest and a report have it: in ASCII, without blanks."""
    return urllib.parse.quote(os.fsencode(path), safe="/!#$&'()*+,;:=?@[]^_`{|}~")


def decoded(text):
    """Return the path that `encoded` was given."""
    return os.fsdecode(urllib.parse.unquote_to_bytes(text)) if "%" in text else text


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
    of = {"of_files": len(sizes), "of_bytes": sum(sizes.values())}

    def hashed(path, digest, error):
        if digest is None:
            wrong.append("%s: %s" % (path, error))
        else:
            lines.append((encoded(path), digest, sizes[path]))

    hash_all(root, sorted(sizes), hashed, lambda size: progress(dict(of, files=len(lines), bytes=size)), jobs)
    if wrong:
        raise Trouble("cannot be read: %s" % wrong[0])
    body = "".join("%s %d %s\n" % (digest, size, path) for path, digest, size in sorted(lines))
    return "%s %d %d\n%s" % (HEADER, of["of_files"], of["of_bytes"], body)


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
