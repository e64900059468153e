"""Log text -> cause -> promise -> remedy. The catalogue is data (`catalogue.toml`), this is how it is read.

A log can be long and one error in it repeated ten thousand times: lines are read as they come, and most of them
are put aside by a look for plain words, which is a hundred times as fast as all the patterns.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Of a longer line (a program that never ends one), only so much is looked at.
LINE = 2000
#: So many lines are looked at together for plain words.
_BATCH = 500
#: A text that says what happened names its host in one of so many lines after it.
_NEAR = 8
_HOST = re.compile(
    r"^\s*(?:Host|Hostname|Local host|Node|Node name|hostname)\s*[:=]\s*([A-Za-z0-9][\w.-]*)"
    r"|^\[([A-Za-z][\w.-]*):\d+\]"
)


@dataclass(frozen=True)
class Cause:
    """One entry: ``patterns``, each behind its plain word, are searched in a line joined with the one before."""

    name: str
    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    cause: str
    remedy: str
    promise: str = ""


def plain(pattern: str) -> str:
    """Return the longest piece of a pattern that stands in every text it matches, in lower case."""
    # What is escaped, in brackets or quantified may be something else in the text, or not be there.
    for varying in (r"\\.[*+?]?", r"\[[^\]]*\][*+?]?"):
        pattern = re.sub(varying, "\0", pattern)
    while (without := re.sub(r"\([^()]*\)[*+?]?", "\0", pattern)) != pattern:
        pattern = without
    return "" if "|" in pattern else max(re.split(r".[*?]|[\0.+^$]", pattern), key=len).lower()


@dataclass
class Finding:
    """A cause that a log names: the first line that says so, how often kinds of it came, and the hosts it names."""

    cause: Cause
    line: int
    text: str
    named: str = ""
    hosts: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the cause as a sentence's end, with what it is about filled in."""
        return self.cause.cause.replace("{named}", self.named or "it")


@functools.cache
def catalogue() -> tuple[Cause, ...]:
    """Return all causes, those first that make others follow from them."""
    data = tomllib.loads(resources.files(__name__).joinpath("catalogue.toml").read_text(encoding="utf-8"))
    return tuple(
        Cause(
            one["name"], tuple((plain(text), re.compile(text, re.IGNORECASE)) for text in one["says"]),
            one["cause"], one["remedy"], one.get("promise", ""),
        )
        for one in data["cause"]
    )  # fmt: skip


def read(lines: Iterable[str]) -> list[Finding]:
    """Return what a log says, in the order of the catalogue: the first is what to look at first."""
    found: dict[str, Finding] = {}
    before, until, about = "", 0, ""
    for batch in _batches(lines):
        likely = _likely(" ".join([before, *(line for _, line in batch)]).lower())
        for number, line in batch:
            text, before = f"{before} {line}", line
            names = _match(text, number, line, likely, found) if likely else []
            host = _HOST.match(line) if names or number <= until else None
            for name in names:
                until, about = number + _NEAR, name
                _add(found[name].hosts, host)
            if about and number <= until:
                _add(found[about].hosts, host)
    order = {one.name: place for place, one in enumerate(catalogue())}
    return sorted(found.values(), key=lambda one: order[one.cause.name])


def _batches(lines: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """Return so many lines at a time, with their numbers; empty ones and rules are left out."""
    batch: list[tuple[int, str]] = []
    for number, raw in enumerate(lines, 1):
        line = raw[:LINE].replace("\0", "").rstrip()
        if line.strip(" -=*"):
            batch.append((number, line))
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    yield batch


def _likely(lower: str) -> list[tuple[Cause, re.Pattern[str]]]:
    """Return the patterns whose plain word is anywhere in these lines."""
    return [(one, pattern) for one in catalogue() for word, pattern in one.patterns if word in lower]


def _match(
    text: str, number: int, line: str, likely: list[tuple[Cause, re.Pattern[str]]], found: dict[str, Finding]
) -> list[str]:
    """Return the names of the causes that a line speaks of, and keep the first line of each."""
    out = []
    for one, pattern in likely:
        match = pattern.search(text)
        if match is None or one.name in out:
            continue
        if one.name not in found:
            named = next((group for group in match.groups() if group), "")
            found[one.name] = Finding(one, number, " ".join(line.split())[:300], named)
        out.append(one.name)
    return out


def _add(hosts: list[str], match: re.Match[str] | None) -> None:
    host = (match[1] or match[2]) if match else ""
    if host and host not in hosts:
        hosts.append(host)
