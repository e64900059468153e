"""Which node keeps a launch from starting: a daemon on each by itself, some at a time, and what it says."""

from __future__ import annotations

import base64
import secrets
import shlex

from ddlcheck.errors import NodeError
from ddlcheck.fabric.causes import UNKNOWN, classify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ddlcheck.fabric.files import Files

#: Daemons at a time: all at once would be more ssh than a head takes.
_AT_ONCE = 16
#: Seconds for one: ssh's own connection time-out may be longer, and then it counts as not started.
_DEADLINE = 15
#: Bytes of an argument that no packet holds, at random, for launchers compress what they send: what starts with a short
#: one and not with it, loses large packets.
_LONG = 60_000
LOST = "a short command starts on the node and a long one does not: large packets to it are lost (MTU)"
SILENT = "the head cannot start Open MPI's daemon on the node, or it cannot call back (ssh, firewall, prefix)"
_EACH = (
    'file=$1; shift; said=$(timeout -k 2 {} "$@" 2>&1 </dev/null); rc=$?; '
    'echo "@alone@ $file $rc $(printf %s "$said" | tail -c 3000 | base64 | tr -d "\\n")"'
)
_ALL = 'for each; do sh -c "$each" & done; wait'


def unstarted(
    files: Files, command: Callable[[str, Sequence[str]], Sequence[str]], hosts: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return ``{node: {"cause", "remedy", "text"}}`` of the nodes on which a daemon does not start.

    ``command`` makes the launch line for a host file and a program.
    """
    failed = _tried(files, lambda path: command(path, ["true", secrets.token_hex(_LONG // 2)]), hosts)
    short = {node: hosts[node] for node in failed}
    never = _tried(files, lambda path: command(path, ["true"]), short) if failed else {}
    return {node: _why(never[node]) if node in never else _words(LOST, "inspect") for node in failed}


def _words(cause: str, remedy: str, text: str = "") -> dict[str, str]:
    return {"cause": cause, "remedy": remedy, "text": text}


def _why(said: str) -> dict[str, str]:
    found = classify(said)
    return found if found["cause"] != UNKNOWN else _words(SILENT, "ssh_mesh", found["text"])


def _tried(files: Files, command: Callable[[str], Sequence[str]], hosts: Mapping[str, str]) -> dict[str, str]:
    """Return what was said where a daemon did not start."""
    out = {}
    for batch in _batches(list(hosts.items()), _AT_ONCE):
        answers: dict[str, tuple[str, str]] = {}
        paths = [files.put(f"{host}\n".encode(), f"{i}") for i, (_, host) in enumerate(batch)]
        # A script of its own each: one argument may be no longer than 128 KiB.
        each = ["sh", "-c", _EACH.format(_DEADLINE), "sh"]
        scripts = [shlex.join([*each, str(i), *command(path)]) for i, path in enumerate(paths)]
        try:
            for line in files.head.stream(["sh", "-c", _ALL, "sh", *scripts], deadline=_DEADLINE + 10, env={}):
                words = line.split()
                if words[:1] == ["@alone@"] and len(words) > 2:  # noqa: PLR2004 - number, status
                    answers[words[1]] = words[2], "".join(words[3:4])
        except NodeError:
            pass  # who did not end by then did not start
        for i, (node, _) in enumerate(batch):
            status, said = answers.get(str(i), ("", ""))
            if status != "0":
                out[node] = _decoded(said)
    return out


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except ValueError:
        return ""


def _batches(items: Sequence[tuple[str, str]], size: int) -> Iterator[Sequence[tuple[str, str]]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
