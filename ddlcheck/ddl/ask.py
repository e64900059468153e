"""Asking nodes before a launch, the way mpirun itself will reach them: the ssh program, or srun in a job."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from ddlcheck.ddl.seen import MAX_BYTES, Seen, read
from ddlcheck.errors import NodeError
from ddlcheck.probes.pipes import ProcessPipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds to connect, and for the whole answer of one node.
CONNECT, DEADLINE = 5, 10.0
_PARALLEL = 64


def is_local(host: str) -> bool:
    """Whether mpirun will take the host for its own and use no ssh: an address of it is ours."""
    if host in ("localhost", socket.gethostname(), socket.gethostname().partition(".")[0]):
        return True
    with contextlib.suppress(OSError):
        for family, kind, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            # Only an address of this machine can be bound; nothing is sent.
            with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind(address)
                return True
    return False


def way_to(host: str, manager: str = "") -> list[str]:
    """Return the command that starts ``sh -s`` on the host."""
    if is_local(host):
        return ["/bin/sh", "-s"]
    if manager == "slurm":
        return ["srun", "--overlap", "--quiet", "-N1", "-n1", "-w", host, "sh", "-s"]
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT}", "LogLevel=ERROR"]
    return ["ssh", *(word for option in options for word in ("-o", option)), "-T", "--", host, "sh -s"]


def ask(argv: Sequence[str], script: str, deadline: float = DEADLINE) -> Seen:
    """Ask one node; never raises for what a node does, and never takes longer than the deadline and a bit."""
    end = time.monotonic() + deadline
    try:
        pipe = ProcessPipe(argv)
    except OSError as error:
        return Seen({}, "failed", f"{argv[0]}: {error.strerror}")
    data, reason, said = b"", "", ""
    try:
        pipe.send(script.encode())
        while chunk := pipe.recv(max(0.0, end - time.monotonic())):
            data += chunk
            if len(data) > MAX_BYTES:
                reason, said = "too much", f"the node sent more than {MAX_BYTES} bytes"
                break
        else:
            # The script itself ends well: another status is ssh's (255), srun's or a login's that ends at once.
            if pipe.status():
                reason, said = _why(pipe.stderr())
    except NodeError as error:
        reason, said = error.reason, f"no answer within {deadline:g} s"
    finally:
        pipe.close()
    return read(data[:MAX_BYTES].decode("utf-8", "replace"), reason, said)


def _why(stderr: str) -> tuple[str, str]:
    from ddlcheck.probes.ssh import classify  # noqa: PLC0415 - brings paramiko, and only failures need it

    # ssh says what went wrong last; a changed host key comes after a box of @ signs.
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("@")]
    return classify(stderr) or "closed", " ".join(lines[-2:])[:300]


def ask_all(ways: Mapping[str, Sequence[str]], script: str, deadline: float = DEADLINE) -> dict[str, Seen]:
    """Ask all nodes at a time; the whole takes as long as the slowest one."""
    with concurrent.futures.ThreadPoolExecutor(min(_PARALLEL, len(ways))) as pool:
        waiting = {host: pool.submit(ask, way, script, deadline) for host, way in ways.items()}
        return {host: future.result() for host, future in waiting.items()}
