"""What differs between a data set and its manifest, said so that one knows where to look."""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    #: Status, what was seen, cause, remedy.
    Said = tuple[Status, str, str, str]

#: By kind: what one file is said to be, and what several are.
_WORDS = {
    "missing": ("missing", "missing"),
    "extra": ("that does not belong there", "that do not belong there"),
    "size": ("of another size", "of another size"),
    "content": ("with other bytes", "with other bytes"),
    "unreadable": ("that cannot be read", "that cannot be read"),
    "owner": ("of another owner", "of another owner"),
}


def judge(name: str, data: Mapping[str, Any], role: str) -> list[Said]:
    """Return what differs from the manifest, and what could not be looked at in time."""
    try:
        differences = data["differences"]
        found = [
            (kind, int(entry_["count"]), [str(p) for p in entry_["first"]]) for kind, entry_ in differences.items()
        ]
        looked, files, unproven, whole = (int(data[k]) for k in ("looked", "files", "unproven", "whole"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NotSeen(f"the comparison of {name} with its manifest has an unknown form") from None
    if not all(first for _, _, first in found):
        raise NotSeen(f"the comparison of {name} with its manifest names no file")
    if found:
        seen = [f"{name}: {_files(kind, count)}: {_list(first, count)}" for kind, count, first in found]
        worst = ", ".join(f"{_files(kind, count)} (first {first[0]})" for kind, count, first in found)
        cause = f"the copy of {name} is not what its manifest says: {worst}"
        return [(Status.FAIL, text, cause, role) for text in seen]
    if looked == 0 and files:
        raise NotSeen(f"no file of {name} could be looked at in time")
    out: list[Said] = []
    full = "ddlcheck dataset verify --full"
    if unproven:
        cause = f"there was no time to read what changed in {name}: {full} does"
        out.append((Status.WARN, f"{name}: {unproven} files changed since they were proven", cause, "inspect"))
    if not whole and "found_files" in data:
        cause = f"{name} is too large for dataset_budget: raise it, or use {full}"
        out.append((Status.WARN, f"{name}: {looked} of {files} files looked at", cause, "inventory"))
    return out


def _files(kind: str, count: int) -> str:
    one, several = _WORDS.get(kind, (kind, kind))
    return f"1 file {one}" if count == 1 else f"{count} files {several}"


def _list(first: Sequence[str], count: int) -> str:
    return ", ".join(first) + (", …" if count > len(first) else "")
