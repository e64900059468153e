"""A head node that is this machine: commands in a process group of their own, gone when nobody reads on."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ddlcheck.errors import NodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Bytes without a newline after which a line is handed out in pieces: a command may print no newline ever.
_LONGEST = 64 * 1024
#: Seconds a group has to end on SIGTERM: the launcher tells its daemons, and they their ranks.
_GRACE = 3.0


class LocalHead:
    """Obeys `ddlcheck.fabric.Head`. ``prefix`` is put before every command (``ip netns exec NODE``)."""

    def __init__(self, *, prefix: Sequence[str] = (), cache: Path | None = None) -> None:
        self._prefix = list(prefix)
        self._own = cache is None
        self._cache = cache

    def put(self, data: bytes, remote_name: str) -> str:
        """Write a file that only this user can read; return its path."""
        if self._cache is None:  # most heads are only asked, and would leave an empty directory
            self._cache = Path(tempfile.mkdtemp(prefix="ddlcheck-"))
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._cache / Path(remote_name).name
        path.write_bytes(data)
        return str(path)

    def close(self) -> None:
        """Remove what `put` wrote, where the directory is our own."""
        if self._own and self._cache is not None:
            for path in self._cache.iterdir():
                path.unlink()
            self._cache.rmdir()
            self._cache = None

    def stream(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        deadline: float,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """Yield the command's lines as they come; raise `NodeError` when the deadline passes."""
        try:
            child = subprocess.Popen(
                [*self._prefix, *argv],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            raise NodeError("closed", f"cannot run {argv[0]}: {error.strerror}") from None
        try:
            if stdin and child.stdin:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(stdin)
                    child.stdin.close()
            yield from _lines(child, time.monotonic() + deadline)
        finally:
            end_group(child)


def _lines(child: subprocess.Popen[bytes], end: float) -> Iterator[str]:
    assert child.stdout is not None  # noqa: S101 - asked for above
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise NodeError("timeout", "the deadline passed")
            data = os.read(child.stdout.fileno(), 65536)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if not data or len(rest) > _LONGEST:
                if rest:
                    yield rest.decode(errors="replace")
                rest = b""
            if not data:
                return


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its group: asked first, so that a launcher ends its daemons; then not asked."""
    for sign, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 0.5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
        if sign == signal.SIGKILL or not _alive(child.pid):
            break
    if child.stdout:
        child.stdout.close()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True
