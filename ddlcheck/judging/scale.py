"""What the mm commands of IBM Storage Scale print with ``-Y``: read by the names in their HEADER lines.

A column's number means nothing: releases add and move them. Values are percent-encoded.
"""

from __future__ import annotations

import re
import urllib.parse

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = Mapping[str, str]

_HEADER = "HEADER"


def table(text: str, command: str, section: str = "") -> list[Row]:
    """Return the rows of one command's section, each by column name.

    Raise `NotSeen` where no HEADER names the columns, or a row has fewer of them than it names.
    """
    names: list[str] | None = None
    rows: list[Row] = []
    for line in text.splitlines():
        words = line.split(":")
        if len(words) < 3 or words[0] != command or (section and words[1] != section):  # noqa: PLR2004 - command, section
            continue
        if words[2] == _HEADER:
            names = words
        elif names is None:
            raise NotSeen(f"{command} printed a row before the line that names its columns")
        elif len(words) + 1 < len(names):
            raise NotSeen(f"{command} printed a row with fewer columns than it names")
        else:
            # No `strict`: nodes may have Python 3.8.
            rows.append({n: urllib.parse.unquote(w) for n, w in zip(names, words) if n})  # noqa: B905
    if names is None:
        raise NotSeen(f"{command} printed no line that names its columns")
    return rows


def one(row: Row, name: str, command: str) -> str:
    """Return a column; raise `NotSeen` where this release has none of that name."""
    try:
        return row[name]
    except KeyError:
        raise NotSeen(f"{command} has no column {name}") from None


def any_of(row: Row, *names: str) -> str:
    """Return the first of several columns that is there and says something; releases differ in their names."""
    return next((row[n] for n in names if row.get(n) not in (None, "", "(undefined)")), "")


def verbs(text: str) -> str:
    """Return the state of RDMA verbs (``started``, ``stopped``, …) of ``mmfsadm test verbs status``."""
    found = re.search(r"VERBS RDMA status:\s*(\w+)", text)
    if not found:
        raise NotSeen("mmfsadm said nothing of verbs")
    return found[1].lower()
