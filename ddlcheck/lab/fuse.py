"""A file system that stops answering, or knows nobody any more: what a dead NFS server looks like to its clients.

Run in a node as ``python3 - hung|stale PATH`` by its own root; it stays in the background, its process id in `PID`.
It speaks to the kernel's FUSE itself (linux/fuse.h) and needs the standard library alone. Requests that it has read
and does not answer leave whoever asked in a wait that no signal ends, as NFS does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

PID = "/run/ddlcheck-lab-fuse"
INIT, FORGET, BATCH_FORGET, INTERRUPT = 26, 2, 42, 36
#: Kernel and we speak protocol 7; an answer of minor 23 holds what follows, all of it empty.
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")


def mount(path: str) -> int:
    """Mount at a path; return the device."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"dead-server:/export", path.encode(), b"fuse", 6, options):  # 6: nosuid, nodev
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return device


def serve(device: int, mode: str) -> None:
    """Answer as the mode has it until the mount is gone."""
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError as gone:
            if gone.errno in (errno.EINTR, errno.ENOENT):
                continue
            return
        _, opcode, unique, *_ = _IN.unpack_from(request)
        if opcode == INIT:
            body = _INIT_OUT.pack(7, 23, 0, 0, 12, 9, 4096, 1, 0, 0, 0)
            os.write(device, _OUT.pack(_OUT.size + len(body), 0, unique) + body)
        elif mode == "stale" and opcode not in (FORGET, BATCH_FORGET, INTERRUPT):
            os.write(device, _OUT.pack(_OUT.size, -errno.ESTALE, unique))


def main() -> None:
    """Mount, and leave a child that serves."""
    mode, path = sys.argv[1:]
    device = mount(path)
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    with open(PID, "w", encoding="ascii") as file:  # noqa: PTH123 - in a node, not here
        file.write(str(os.getpid()))
    serve(device, mode)


if __name__ == "__main__":
    main()
