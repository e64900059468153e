"""One line of nhc.conf: ``target || check arguments``, and which hosts its target means."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Shell that makes more of a line than one check with plain arguments.
_SHELL = re.compile(r"[$`;&|<>()]")


class Unturned(Exception):  # noqa: N818 - what a line remains
    """A line cannot be turned into a declared value; the message says why."""


@dataclass(frozen=True)
class Line:
    """A line that is neither empty nor a comment."""

    number: int
    text: str
    target: str
    words: tuple[str, ...]


def read(text: str) -> Iterator[Line | tuple[int, str, str]]:
    """Yield each line; one that cannot be taken apart as (number, text, reason)."""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        target, bars, check = line.partition("||")
        if not bars or not check.strip():
            yield number, line, "is not of the form `target || check`"
            continue
        try:
            words = split(check)
        except Unturned as exc:
            yield number, line, str(exc)
            continue
        yield Line(number, line, target.strip(), tuple(words))


def split(check: str) -> list[str]:
    """Return a check's words as the shell would; refuse what only a shell can do."""
    try:
        words = shlex.split(check, comments=True)
    except ValueError as exc:
        raise Unturned(f"its quotes do not match ({exc})") from exc
    bare = re.sub(r"'[^']*'", "", check)  # in single quotes everything is plain
    double = re.sub(r'"[^"$`]*"', "", bare)
    if _SHELL.search(double):
        raise Unturned("is more than one check with plain arguments: the shell would work on it")
    if not words:
        raise Unturned("holds no check")
    return words


def listed(target: str) -> list[str]:
    """Return the hosts that a target spells out: a name, or a range ``{n[00-03,7],login}``; none for a pattern."""
    if target.startswith("{") and target.endswith("}"):
        return [host for part in _parts(target[1:-1]) for host in _expanded(part)]
    return [target] if re.fullmatch(r"[\w.-]+", target) else []


def matches(target: str, host: str) -> bool:
    """Whether a target means a host; raises `Unturned` on one that only NHC itself can match."""
    if target.startswith("!"):
        return not matches(target[1:].strip(), host)
    if target.startswith("/") and target.endswith("/") and len(target) > 1:
        try:
            return re.search(target[1:-1], host) is not None
        except re.error as exc:
            raise Unturned(f"its regular expression cannot be read ({exc})") from exc
    if target.startswith("{"):
        return host in listed(target)
    if target.startswith(("@", "%")) or _SHELL.search(target):
        raise Unturned("its hosts are found by a program or a variable")
    return fnmatch.fnmatchcase(host, target)


def _parts(text: str) -> list[str]:
    """Split at commas that are not inside brackets."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def _expanded(part: str) -> list[str]:
    """Return the hosts of one part: ``n[1-3,7]`` is n1 n2 n3 n7; numbers keep their width."""
    found = re.fullmatch(r"([^\[\]]*)\[([^\[\]]*)\](.*)", part)
    if not found:
        return [part]
    head, inside, tail = found.groups()
    out = []
    for word in inside.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) - int(first) > 100000:  # noqa: PLR2004
            raise Unturned(f"its range {part!r} cannot be read")
        numbers: Sequence[int] = range(int(first), int(last or first) + 1)
        out += [f"{head}{number:0{len(first)}}{rest}" for number in numbers for rest in _expanded(tail)]
    return out
