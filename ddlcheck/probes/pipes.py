"""A command on this machine, as a pipe with deadlines."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from ddlcheck.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = 16384


class ProcessPipe:
    """A local process in a group of its own, which is ended when the pipe is closed."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,  # what a dead process never took must not be flushed into it again at the end
        )
        self._stderr = bytearray()
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None  # noqa: S101 - narrows for mypy; PIPE was asked for
            self._selector.register(stream, selectors.EVENT_READ)

    def send(self, data: bytes) -> None:
        """Write all of it; a process that has ended already tells why by what it said."""
        assert self._process.stdin is not None  # noqa: S101
        view = memoryview(data)
        with contextlib.suppress(BrokenPipeError):
            while view:
                view = view[self._process.stdin.write(view) or 0 :]

    def end_input(self) -> None:
        """Say that nothing more comes."""
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def interrupt(self) -> None:
        """Ask the process to end: a launcher then ends what it has started elsewhere."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def recv(self, timeout: float) -> bytes:
        """Return what is there, or nothing at the end."""
        end = time.monotonic() + timeout
        out = self._process.stdout
        assert out is not None  # noqa: S101
        while out in (key.fileobj for key in self._selector.get_map().values()):
            ready = self._selector.select(max(0.0, end - time.monotonic()))
            if not ready and time.monotonic() >= end:
                raise NodeError("timeout", "no answer in time")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    self._selector.unregister(key.fileobj)
                elif key.fileobj is out:
                    return data
                else:
                    self._stderr = (self._stderr + data)[-_KEPT:]
        return b""

    def stderr(self) -> str:
        """Return the end of what was said on stderr."""
        err = self._process.stderr
        assert err is not None  # noqa: S101
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(err.fileno(), False)
            while data := err.read(65536):
                self._stderr = (self._stderr + data)[-_KEPT:]
        return bytes(self._stderr).decode("utf-8", "replace")

    def status(self) -> int | None:
        """Return the exit status, waiting a moment for it."""
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Close stdin, so that an agent ends what it started; then end the process."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.close()
        try:
            self._process.wait(4.0 if self._process.poll() is None else 0.1)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
