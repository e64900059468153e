"""Ask a node over ssh: through paramiko, whose failures can be told apart, or the ssh program.

Host keys are always checked strictly. Every step has a deadline.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import paramiko

from ddlcheck.errors import NodeError
from ddlcheck.probes.pipes import ProcessPipe
from ddlcheck.probes.route import KnownHosts, Route, plan

if TYPE_CHECKING:
    from ddlcheck.inventory import Node
    from ddlcheck.probes.protocol import Pipe

#: The cheap exchange first: OpenSSH's default costs seven times the CPU (bench/ssh_exchange.py).
_KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
#: Seconds between two looks of a connection's reader at whether anything else has to be done.
_IDLE = 2.0
#: paramiko's agent talks over one socket without a lock of its own.
_AGENT = threading.Lock()
_STATE = threading.Lock()


@functools.cache
def _known(paths: tuple[str, ...]) -> KnownHosts:
    return KnownHosts(paths)


def known_hosts(paths: tuple[str, ...]) -> KnownHosts:
    """Return the host keys in these files, read once."""
    with _STATE:
        return _known(paths)


@functools.cache
def _load_key(path: str) -> paramiko.PKey | str:
    """Return the private key in a file, or why it cannot be used; empty: there is no such file."""
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        return ""
    except paramiko.PasswordRequiredException:
        return f"{path} has a passphrase, and no agent holds it"
    except (TypeError, ValueError) as exc:
        # cryptography says TypeError for an encrypted key without a password.
        return f"{path}: {'has a passphrase, and no agent holds it' if 'assword' in str(exc) else exc}"
    except (paramiko.SSHException, OSError, LookupError) as exc:
        return f"{path}: {exc}"


def _identities(route: Route) -> tuple[list[paramiko.PKey], list[str]]:
    """Return the keys to offer, in order, and why others cannot be."""
    keys: list[paramiko.PKey] = []
    troubles: list[str] = []
    for path in route.identities:
        key = _load_key(path)
        if isinstance(key, str):
            troubles += [key] if key else []
            continue
        certificates = [c for c in (*route.certificates, f"{path}-cert.pub") if pathlib.Path(c).exists()]
        for certificate in certificates:
            certified = paramiko.PKey.from_path(path)
            try:
                certified.load_certificate(certificate)
            except (paramiko.SSHException, ValueError) as exc:
                troubles.append(f"{certificate}: {exc}")
                continue
            keys.append(certified)
        keys.append(key)
    return keys, troubles


@functools.cache
def _agent_keys() -> tuple[paramiko.AgentKey, ...]:
    try:
        return tuple(paramiko.Agent().get_keys())
    except (paramiko.SSHException, OSError):
        return ()


def _wanted_from_agent(route: Route) -> list[paramiko.AgentKey]:
    with _AGENT:
        held = _agent_keys()
    if not route.identities_only:
        return list(held)
    wanted = set()
    for path in (*route.identities, *(f"{i}.pub" for i in route.identities)):
        public = pathlib.Path(path if path.endswith(".pub") else f"{path}.pub")
        if public.exists():
            wanted.add(public.read_text(encoding="utf-8", errors="replace").split()[1])
    return [key for key in held if key.get_base64() in wanted]


def _dial(route: Route, deadline: float) -> socket.socket | paramiko.Channel:
    """Open the byte stream to a host, through its jumps if it has any."""
    timeout = max(0.1, deadline - time.monotonic())
    if route.jumps:
        transport = connect(route.jumps[-1], deadline, before=route.jumps[:-1], shared=True)
        try:
            return transport.open_channel("direct-tcpip", (route.host, route.port), ("127.0.0.1", 0), timeout=timeout)
        except (paramiko.SSHException, EOFError) as exc:
            raise NodeError("no route", f"the jump host {route.jumps[-1].host} cannot reach it: {exc}") from exc
    try:
        return socket.create_connection((route.host, route.port), timeout)
    except socket.gaierror as exc:
        raise NodeError("name", f"{route.host} does not resolve here: {exc.strerror}") from exc
    except ConnectionRefusedError as exc:
        raise NodeError("refused", f"connection refused by {route.host} port {route.port}") from exc
    except TimeoutError as exc:
        raise NodeError("timeout", f"no answer from {route.host} port {route.port}") from exc
    except OSError as exc:
        raise NodeError("no route", f"{route.host} port {route.port}: {exc.strerror}") from exc


def _check_host_key(route: Route, key: paramiko.PKey) -> None:
    """Raise `NodeError` unless the key is the one that is known for the host."""
    known = known_hosts(route.known_hosts).keys(route.key_name)
    if not known:
        raise NodeError("host key unknown", f"no key of {route.key_name} is in {' or '.join(route.known_hosts)}")
    if not any(k.get_name() == key.get_name() and k.asbytes() == key.asbytes() for k in known):
        raise NodeError("host key changed", f"{route.key_name} shows another {key.get_name()} key than the known one")


def _authenticate(transport: paramiko.Transport, route: Route) -> None:
    """Offer keys until one is taken."""
    keys, troubles = _identities(route)
    try:
        for key in keys:
            if _offer(transport, route.user, key):
                return
        for held in _wanted_from_agent(route):
            with _AGENT:
                if _offer(transport, route.user, held):
                    return
        if route.password:
            transport.auth_password(route.user, route.password)
            return
    except paramiko.AuthenticationException as exc:
        raise NodeError("key refused", f"{route.user}@{route.host} refuses the password") from exc
    why = "; ".join(troubles) or (f"{len(keys)} keys offered" if keys else "no key to offer")
    raise NodeError("key refused", f"{route.user}@{route.host} takes none of our keys ({why})")


def _offer(transport: paramiko.Transport, user: str, key: paramiko.PKey) -> bool:
    try:
        return not transport.auth_publickey(user, key)
    except paramiko.BadAuthenticationType as exc:
        raise NodeError("key refused", f"the node takes no keys, only {', '.join(exc.allowed_types)}") from exc
    except paramiko.AuthenticationException:
        return False


_SHARED: dict[Route, paramiko.Transport] = {}


def connect(
    route: Route, deadline: float, *, before: tuple[Route, ...] = (), shared: bool = False
) -> paramiko.Transport:
    """Return an authenticated connection; raises `NodeError` with the reason it could not be made.

    A jump host's connection is ``shared`` by all nodes behind it.
    """
    if shared:
        with _STATE:
            held = _SHARED.get(route)
        if held is not None and held.is_active():
            return held
    if before:
        route = Route(**{**route.__dict__, "jumps": before})
    stream = _dial(route, deadline)
    transport = paramiko.Transport(stream)
    transport.daemon = True
    # paramiko wakes ten times a second to see whether it was closed; `hang_up` wakes it when it was.
    transport.sock.settimeout(_IDLE)
    try:
        _negotiate(transport, route, deadline)
    except BaseException:
        hang_up(transport)
        raise
    if shared:
        with _STATE:
            transport = _SHARED.setdefault(route, transport)
    return transport


def _negotiate(transport: paramiko.Transport, route: Route, deadline: float) -> None:
    left = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.auth_timeout = left
    options = transport.get_security_options()
    options.kex = [k for k in _KEX if k in options.kex] + [k for k in options.kex if k not in _KEX]
    # Ask for the kind of host key that we know, or a host with several would look like a stranger.
    kinds = {k.get_name() for k in known_hosts(route.known_hosts).keys(route.key_name)}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)
    try:
        transport.start_client(timeout=left)
        _check_host_key(route, transport.get_remote_server_key())
        _authenticate(transport, route)
    except (paramiko.SSHException, EOFError, OSError) as exc:
        if isinstance(exc, TimeoutError) or "imeout" in str(exc) or time.monotonic() > deadline - 0.5:
            raise NodeError("timeout", f"{route.host} did not finish the key exchange in time") from exc
        if "banner" in str(exc) or isinstance(exc, EOFError) or "closed" in str(exc):
            raise NodeError(
                "closed", f"{route.host} closed the connection before the key exchange (sshd's MaxStartups?)"
            ) from exc
        raise NodeError("closed", f"{route.host}: {exc}") from exc


def hang_up(transport: paramiko.Transport) -> None:
    """Close a connection at once: the reader is woken by the end of the stream instead of by its timer."""
    with contextlib.suppress(OSError, EOFError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    # A transport whose reader has noticed the end already does not close its socket.
    transport.sock.close()


class ChannelPipe:
    """A command over a paramiko connection."""

    def __init__(self, transport: paramiko.Transport, command: str, deadline: float) -> None:
        self._transport = transport
        try:
            self._channel = transport.open_session(timeout=max(0.1, deadline - time.monotonic()))
            self._channel.exec_command(command)
        except (paramiko.SSHException, EOFError, OSError) as exc:
            hang_up(transport)
            raise NodeError("closed", f"no session: {exc}") from exc
        self._end = deadline

    def send(self, data: bytes) -> None:
        """Write all of it; a node that has stopped reading is noticed by `recv`."""
        self._channel.settimeout(max(0.1, self._end - time.monotonic()))
        try:
            self._channel.sendall(data)
        except TimeoutError as exc:
            raise NodeError("timeout", "the node takes no input") from exc
        except OSError:
            pass  # the command ended already: what it said tells why

    def recv(self, timeout: float) -> bytes:
        """Return what is there, or nothing at the end."""
        self._channel.settimeout(timeout)
        try:
            return self._channel.recv(65536)
        except TimeoutError as exc:
            raise NodeError("timeout", "no answer in time") from exc

    def stderr(self) -> str:
        """Return what was said on stderr."""
        self._channel.settimeout(0.2)
        try:
            return self._channel.recv_stderr(4096).decode("utf-8", "replace")
        except (TimeoutError, OSError):
            return ""

    def close(self) -> None:
        """Let go of the session and the connection."""
        hang_up(self._transport)


#: What the ssh program says, and what it means. Order matters: the more specific first.
_TEXTS = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .*differ", "host key changed"),
    (r"Host key verification failed|No .* host key is known", "host key unknown"),
    (r"kex_exchange_identification|ssh_exchange_identification|Connection reset", "closed"),
    (r"Permission denied|Too many authentication failures", "key refused"),
    (r"Connection refused", "refused"),
    (r"No route to host|Network is unreachable", "no route"),
    (r"Could not resolve hostname", "name"),
    (r"timed out|Timeout", "timeout"),
)


def classify(text: str) -> str:
    """Return the reason that ssh's own words stand for; empty when they say nothing of the connection."""
    return next((reason for pattern, reason in _TEXTS if re.search(pattern, text)), "")


class OpenSshPipe(ProcessPipe):
    """A command through the ssh program, for what paramiko cannot honour."""

    def recv(self, timeout: float) -> bytes:
        """Return what is there; an end that is the connection's own is raised with its reason."""
        data = super().recv(timeout)
        if not data and self.status() == 255:  # noqa: PLR2004 - ssh's own failure
            said = self.stderr()
            reason = classify(said)
            if reason:
                raise NodeError(reason, f"ssh says: {' '.join(said.split()).removeprefix('ssh: ')[-200:]}")
        return data


def start(node: Node, command: str, deadline: float) -> Pipe:
    """Start a command on a node; ``deadline`` is a `time.monotonic` moment for connecting."""
    route = plan(node)
    if node.address.startswith("-"):
        raise NodeError("name", f"{node.address!r} is an option, not a host")
    marked = any(known_hosts(r.known_hosts).marked(r.key_name) for r in (route, *route.jumps))
    if not route.via_ssh and not marked:
        try:
            return ChannelPipe(connect(route, deadline), command, deadline)
        except NodeError as error:
            if error.reason != "key refused" or not any(r.other_ways for r in (route, *route.jumps)):
                raise
    timeout = max(1, int(deadline - time.monotonic()))
    return OpenSshPipe([route.argv[0], "-o", f"ConnectTimeout={timeout}", *route.argv[1:], command])


def close_shared() -> None:
    """Close the connections to jump hosts."""
    with _STATE:
        held = list(_SHARED.values())
        _SHARED.clear()
    for transport in held:
        hang_up(transport)
