"""Running mpirun as if it had been started itself: its output, its signals, its exit status; and a log."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

#: What a scheduler, a terminal or a user sends to a job.
_PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
#: A shell's way to say that a process was ended by a signal.
_SIGNALLED = 128
#: A job that repeats one error for hours must not fill the disk with it: the cause stands at the beginning.
LOG_BYTES = 64 * 1024 * 1024
_GONE = -1
GONE = "the end of whoever read its output"
#: Seconds of silence after which the end of mpirun is looked for.
_LINGER = 1.0


def run(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, told: list[str] | None = None) -> int:
    """Run a command; pass its output on as it comes and keep it in ``log``; return its exit status.

    ``told`` gets what ended it from outside: the name of each signal that was handed on, or that nobody reads its
    output any more. The command gets a session of its own: Ctrl-C reaches us, and mpirun once, from us. (Two make
    it abandon its nodes.)
    """
    told = [] if told is None else told
    with (
        log.open("wb") as kept,
        _passing_signals(told) as started,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True
        ) as process,
    ):
        started(process)
        _copy(process, kept, told)
        code = process.wait()
    return code if code >= 0 else _SIGNALLED - code


@contextlib.contextmanager
def _passing_signals(told: list[str]) -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Hand signals on to the process that the caller names; what comes before that waits for it."""
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        told.append(signal.Signals(number).name)
        if running:
            running[0].send_signal(number)
        else:
            early.append(number)

    def started(process: subprocess.Popen[bytes]) -> None:
        running.append(process)
        for number in early:
            process.send_signal(number)

    # What was ignored (nohup) stays ignored.
    before = {one: signal.getsignal(one) for one in _PASSED}
    for one, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(one, hand_on)
    try:
        yield started
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _copy(process: subprocess.Popen[bytes], kept: BinaryIO, told: list[str]) -> None:
    """Copy both streams until they end; a reader that went away (`| head`) ends the job as a pipe would."""
    left = LOG_BYTES
    with selectors.DefaultSelector() as selector:
        for stream, out in ((process.stdout, sys.stdout.fileno()), (process.stderr, sys.stderr.fileno())):
            assert stream is not None  # noqa: S101 - narrows for mypy; PIPE was asked for
            selector.register(stream, selectors.EVENT_READ, out)
        while selector.get_map():
            ready = selector.select(_LINGER)
            # A process that a rank left behind holds the pipes open; mpirun's end is the job's end all the same.
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                kept.write(data[:left])
                kept.flush()
                left -= min(left, len(data))
                if key.data != _GONE and not _write(key.data, data):
                    selector.modify(key.fileobj, selectors.EVENT_READ, _GONE)
                    told.append(GONE)
                    process.send_signal(signal.SIGTERM)


def _write(out: int, data: bytes) -> bool:
    """Write all of it; return whether there is still a reader."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(out, view) :]
    except BrokenPipeError:
        return False
    return True
