"""The intent file of one node: what it promises, which checks prove it, and whether this file may be believed."""

from __future__ import annotations

import os
import time

from ddlcheck import __version__
from ddlcheck.errors import NotSeen, UsageError
from ddlcheck.gates import files, text
from ddlcheck.intent import Intent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ddlcheck.checks import Check

DEFAULT = "/etc/ddlcheck/intent.json"
#: The form of the file; another one is refused, never guessed at. (1 was a whole cluster's, of ``cluster --save``.)
VERSION = 2
#: Bytes: a thousand nodes take 0.1 MiB.
MOST = 16 << 20
_HEAD, _MADE, _DIGEST = b'{"hash":"', b'","made":', 64


class Promised:
    """What one node promises: the intent, and which tier judges which check."""

    __slots__ = ("background", "declared", "gate", "intent", "made")

    def __init__(self, intent: Intent, gate: list[str], background: list[str], declared: str, made: int) -> None:
        self.intent = intent
        self.gate = gate
        self.background = background
        self.declared = declared
        self.made = made


def tiers(checks: Mapping[str, Check], intent: Intent) -> tuple[list[str], list[str]]:
    """Return the checks the gate judges itself, and those the background tier does; what spans nodes is in neither."""
    from ddlcheck.wants import slow  # noqa: PLC0415

    gate: list[str] = []
    background: list[str] = []
    skipped = [str(name) for name in intent["health_gate_skip"]]
    for name, check in checks.items():
        if not getattr(check, "NODE_LOCAL", True) or name in skipped:
            continue
        declared = getattr(check, "TIER", "")
        is_slow = any(slow(want) for want in check.wants(intent).values())
        (background if declared == "background" or (is_slow and declared != "gate") else gate).append(name)
    return gate, background


def make(intent: Intent, checks: Mapping[str, Check], made: int) -> bytes:
    """Return the intent file of one node; ``made`` is the epoch in seconds, and not part of the hash."""
    gate, background = tiers(checks, intent)
    body = {
        "version": VERSION, "ddlcheck": __version__, "node": intent.node, "names": list(intent.names),
        "addresses": list(dict.fromkeys(intent.addresses.values())),
        "values": intent.values, "cluster": intent.naming(), "gate": gate, "background": background,
    }  # fmt: skip
    # The digest stands near the beginning, where `ddlcheck cluster` reads it without fetching all of the file.
    rest = f',"declared":"{intent.digest()}",{text.dumps(body)[1:]}\n'.encode()
    return b"%s%s%s%d%s" % (_HEAD, text.sha256(rest).encode(), _MADE, made, rest)


def hash_of(body: str) -> str:
    """Return the hash that stands in an intent file's text."""
    return body[len(_HEAD) : len(_HEAD) + _DIGEST]


def load(path: str, *, own: bool = True) -> Promised:
    """Read an intent file; raises `UsageError` with one sentence when it may not be believed.

    ``own`` is False where the file of another host is looked at on purpose.
    """
    try:
        data = files.read(path, MOST)
    except NotSeen as exc:
        hint = "" if os.path.lexists(path) else "; role health_gate writes it, `ddlcheck intent` makes one"
        raise UsageError(f"{exc}{hint}") from exc
    made, rest = _frame(path, data)
    try:
        body = text.loads("{" + rest[1:].decode("ascii"))
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: is not JSON: {exc}") from exc
    found = _parsed(path, body, made)
    _young(path, found)
    if own:
        _ours(path, body)
    return found


def _frame(path: str, data: bytes) -> tuple[int, bytes]:
    """Return when the file was made, and the part that its hash is of."""
    end = len(_HEAD) + _DIGEST
    made, comma, rest = data[end + len(_MADE) :].partition(b",")
    if not data.startswith(_HEAD) or data[end : end + len(_MADE)] != _MADE or not made.isdigit() or len(made) > 12:  # noqa: PLR2004
        raise UsageError(f"{path}: is no intent file of one node (`ddlcheck intent` makes them)")
    rest = comma + rest
    if text.sha256(rest).encode() != data[len(_HEAD) : end]:
        raise UsageError(f"{path}: does not match its hash; it was cut short or edited")
    return int(made), rest


#: What the file has to hold, and of which type. The hash says that it is whole; this, that its maker knew the form.
_TYPES: tuple[tuple[str, type], ...] = (
    ("node", str), ("declared", str), ("names", list), ("addresses", list), ("gate", list), ("background", list),
    ("values", dict), ("cluster", dict),
)  # fmt: skip


def _parsed(path: str, body: Any, made: int) -> Promised:  # noqa: ANN401 - JSON
    if body.get("version") != VERSION:
        raise UsageError(f"{path}: intent of version {body.get('version')!r}; this ddlcheck reads {VERSION}")
    for key, kind in _TYPES:
        if type(body.get(key)) is not kind:
            raise UsageError(f"{path}: {key} is no {kind.__name__}")
    lists = [body[key] for key in ("names", "addresses", "gate", "background")]
    if not all(isinstance(word, str) for words in lists for word in words):
        raise UsageError(f"{path}: a list of names holds something else")
    if not all(name.isidentifier() and name[0] != "_" for name in body["gate"] + body["background"]):
        raise UsageError(f"{path}: names a check that can be none")
    if not body["gate"] + body["background"]:
        raise UsageError(f"{path}: promises nothing that a node can prove alone")
    try:
        intent = Intent.of_naming(body["node"], body["values"], body["cluster"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UsageError(f"{path}: the cluster in it has an unknown form") from exc
    return Promised(intent, body["gate"], body["background"], body["declared"], made)


def _young(path: str, found: Promised) -> None:
    try:
        most = float(found.intent["health_gate_intent_max_age"])
    except (NotSeen, TypeError, ValueError) as exc:
        raise UsageError(f"{path}: does not say how old it may become (health_gate_intent_max_age)") from exc
    age = time.time() - found.made
    if most and not age <= most:
        said = f"was made {age / 86400:.1f} days ago, more than the declared {most / 86400:.1f}"
        raise UsageError(f"{path}: {said}: apply the role health_gate again")


def _ours(path: str, body: Mapping[str, Any]) -> None:
    """Refuse the file of another host: known by its name, or, when it was renamed, by an address it bears."""
    host = _first("/proc/sys/kernel/hostname")
    if {host, host.partition(".")[0]} & set(body["names"]) or _bears(body["addresses"]):
        return
    raise UsageError(f"{path}: is for {body['node']}, and this host is {host!r} and bears none of its addresses")


def _first(path: str) -> str:
    from ddlcheck.probes import quick  # noqa: PLC0415

    try:
        return str(quick.read_text(path)).strip()
    except OSError:
        return ""


def _bears(addresses: list[str]) -> bool:
    """Whether this host has one of the addresses; asked of the kernel, since names are in doubt."""
    if not addresses:
        return False
    import _socket  # noqa: PLC0415 - only when the name did not tell; all of ``socket`` costs as much as Python

    local = set()
    lines = _first("/proc/net/fib_trie").splitlines()
    for line, after in zip(lines, lines[1:]):  # noqa: RUF007 - Python 3.8
        if after.split()[:2] == ["/32", "host"] and "LOCAL" in after:
            local.add(line.split()[-1])
    six = [line.split()[0] for line in _first("/proc/net/if_inet6").splitlines() if line]
    for address in addresses:
        if address in local:
            return True
        try:
            if ":" in address and _socket.inet_pton(_socket.AF_INET6, address).hex() in six:
                return True
        except OSError:
            continue
    return False
