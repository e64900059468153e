"""The nodes' only way to packages: a caching proxy for ``apt``, listening inside the lab's switch.

Run as a program of its own (standard library only), it opens its socket in the switch's name space, so
nothing listens on the host's networks and no packet filter of the host is in the way; it fetches from the
host's network. It serves the mirrors it was started for and nothing else: a node has no other way out. A
package is fetched once for all labs of the machine; files appear in the cache whole (renamed), so labs can
share it.
"""

from __future__ import annotations

import argparse
import ctypes
import http.server
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path

PORT = 3142
# How long an index is taken for new, so that sixteen nodes' `apt update` is one.
FRESH = 120
FETCH_TIMEOUT = 60
CLONE_NEWNET = 0x40000000
# Files that never change under their name.
IMMUTABLE = re.compile(r"/by-hash/|\.u?deb$")
ALLOWED = re.compile(r"(/[A-Za-z0-9._+~:-]+)+")


class Store:
    """The cache directory: finds a file there or fetches it."""

    def __init__(self, directory: Path, hosts: set[str]) -> None:
        self.directory = directory
        self.hosts = hosts
        self._busy: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def allows(self, url: str) -> bool:
        """Say whether the URL is a plain file of one of the mirrors."""
        parts = urllib.parse.urlsplit(url)
        path = urllib.parse.unquote(parts.path)
        plain = ALLOWED.fullmatch(path) and "/.." not in path and not parts.query
        return bool(parts.scheme == "http" and parts.netloc in self.hosts and plain)

    def get(self, url: str) -> Path:
        """Return the file of an allowed URL, from the cache if it is good.

        Raises:
            urllib.error.URLError: neither the cache nor the mirror has it.

        """
        parts = urllib.parse.urlsplit(url)
        kept = self.directory / parts.netloc / urllib.parse.unquote(parts.path).lstrip("/")
        with self._guard:
            lock = self._busy.setdefault(url, threading.Lock())
        with lock:  # sixteen nodes ask for the same package at once; one fetches
            if self._good(kept):
                return kept
            try:
                self._fetch(url, kept)
            except urllib.error.HTTPError:
                raise
            except OSError:
                if not kept.exists():  # without the mirror, an old index is better than none
                    raise
        return kept

    @staticmethod
    def _good(kept: Path) -> bool:
        if not kept.exists():
            return False
        return bool(IMMUTABLE.search(kept.as_posix())) or time.time() - kept.stat().st_mtime < FRESH

    @staticmethod
    def _fetch(url: str, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(url, headers={"Cache-Control": "no-cache"})  # noqa: S310 - see allows()
        with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT) as answer:  # noqa: S310
            handle, name = tempfile.mkstemp(prefix=".part-", dir=kept.parent)
            part = Path(name)
            try:
                with os.fdopen(handle, "wb") as out:
                    shutil.copyfileobj(answer, out, 1 << 20)
                promised = answer.headers["Content-Length"]
                if promised is not None and part.stat().st_size != int(promised):
                    raise urllib.error.URLError("the mirror closed the connection early")
                part.replace(kept)
            finally:
                part.unlink(missing_ok=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers apt: GET with the whole URL on the request line."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    store: Store

    def do_GET(self) -> None:
        """Serve one file."""
        if not self.store.allows(self.path):
            self.send_error(HTTPStatus.FORBIDDEN, "this proxy serves the lab's package mirrors only")
            return
        try:
            kept = self.store.get(self.path)
        except urllib.error.HTTPError as refused:
            self.send_error(refused.code)
        except OSError as lost:
            self.send_error(HTTPStatus.BAD_GATEWAY, explain=str(lost))
        else:
            with kept.open("rb") as body:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Length", str(os.fstat(body.fileno()).st_size))
                self.end_headers()
                shutil.copyfileobj(body, self.wfile, 1 << 20)


class Server(http.server.ThreadingHTTPServer):
    """The stock server on a socket that is already listening."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a node that hung up; anything else is worth a traceback in the log."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def listen(space: Path, address: str) -> socket.socket:
    """Return a socket that listens on ``address`` within the network name space ``space``."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as ours, space.open() as theirs:
        if libc.setns(theirs.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")
        try:
            # A socket stays in the name space it was made in.
            return socket.create_server((address, PORT), backlog=256)
        finally:
            if libc.setns(ours.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot come back")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", type=Path, required=True, help="network name space to listen in")
    parser.add_argument("--address", required=True)
    parser.add_argument("--directory", type=Path, required=True, help="the cache")
    parser.add_argument("hosts", nargs="+", help="mirrors to serve")
    args = parser.parse_args()
    Handler.store = Store(args.directory, set(args.hosts))
    Server(listen(args.space, args.address)).serve_forever()


if __name__ == "__main__":
    main()
