"""An initramfs is a cpio archive in the "newc" form (the kernel's initramfs/buffer-format.rst); archives may follow each other."""

from __future__ import annotations

from collections.abc import Iterable

Entry = tuple[str, int, bytes]
"""Path without a leading slash, mode with the file's type, and what is in it (a link's target)."""


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of files, directories and links, all of them root's; parents come before children."""
    out = bytearray()
    for number, (path, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        links, zeros = 2 if mode & 0o170000 == 0o040000 else 1, (0,) * 4
        fields = (number, mode, 0, 0, links, 0, len(data), *zeros, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def directory(path: str, mode: int = 0o755) -> Entry:
    return path, 0o040000 | mode, b""


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    return path, 0o100000 | mode, data
