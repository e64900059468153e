"""Which host gets which values: one inventory fragment, and every line that is not in it, with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddlcheck.nhc import lines
from ddlcheck.nhc.turn import turn

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A line of the file: its number, its text, and what is to be said of it.
Said = tuple[int, str, str]


@dataclass
class Imported:
    """What came of a configuration.

    ``everyone`` is ``{variable: value}`` for all hosts; ``hosts`` has whole values for those that differ. ``left``
    could not be turned, ``part`` only in part.
    """

    everyone: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: list[Said] = field(default_factory=list)
    part: list[Said] = field(default_factory=list)
    turned: int = 0


def load(text: str, known: Sequence[str] = ()) -> Imported:
    """Turn a configuration; ``known`` are the hosts of an inventory, by which patterns are resolved."""
    out = Imported()
    done: list[tuple[lines.Line, dict[str, Any]]] = []
    for found in lines.read(text):
        if isinstance(found, tuple):
            out.left.append(found)
            continue
        try:
            lines.matches(found.target, "")
            values, lost = turn(found.words)
            if not values:
                raise lines.Unturned("; ".join(lost) or "it promises nothing")  # noqa: TRY301
            if any(mark in json.dumps(values) for mark in ("{{", "{%", "{#")):
                raise lines.Unturned("Ansible would take a part of it for a template")  # noqa: TRY301
        except lines.Unturned as exc:
            out.left.append((found.number, found.text, str(exc)))
            continue
        done.append((found, values))
        if lost:
            out.part.append((found.number, found.text, "; ".join(lost)))
    _spread(done, out, known)
    return out


def _spread(done: Sequence[tuple[lines.Line, dict[str, Any]]], out: Imported, known: Sequence[str]) -> None:
    """Give every host the values of the lines that mean it."""
    hosts = list(dict.fromkeys([*known, *(host for line, _ in done for host in lines.listed(line.target))]))
    took: set[int] = set()
    for line, values in done:
        if line.target == "*":
            took |= _merge(out.everyone, values, line, out)
        elif not known and not lines.listed(line.target):
            out.left.append((line.number, line.text, "its hosts are a pattern: --inventory says which there are"))
    for host in hosts:
        mine: dict[str, Any] = {}
        for line, values in done:
            if lines.matches(line.target, host):
                took |= _merge(mine, values, line, out)
        if mine != out.everyone:
            out.hosts[host] = mine
    for line, _ in done:
        if line.number not in took and line.number not in {number for number, _, _ in out.left}:
            out.left.append((line.number, line.text, "no known host matches it"))
    out.left = sorted(set(out.left))
    lost = {number for number, _, _ in out.left}
    out.part = [said for said in out.part if said[0] not in lost]
    out.turned = len({line.number for line, _ in done} - lost)


def _merge(into: dict[str, Any], values: dict[str, Any], line: lines.Line, out: Imported) -> set[int]:
    """Add a line's values: lists grow, entries for one path become one; a number that was said otherwise is refused."""
    for name, value in values.items():
        if isinstance(value, list):
            into[name] = _joined(into.get(name, []), value)
        elif into.get(name, value) != value:
            out.left.append((line.number, line.text, f"{name} is {into[name]} already, by a line above"))
            return set()
        else:
            into[name] = value
    return {line.number}


def _joined(old: list[Any], new: list[Any]) -> list[Any]:
    """Return one list of both; a path's entry takes up what it did not say yet."""
    out = [dict(entry) if isinstance(entry, dict) else entry for entry in old]
    for entry in new:
        same = next((o for o in out if isinstance(o, dict) and isinstance(entry, dict) and _fits(o, entry)), None)
        if same is not None:
            same.update(entry)
        elif entry not in out:
            out.append(entry)
    return out


def _fits(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two entries are of one path and contradict each other in nothing."""
    return "path" in old and old["path"] == new.get("path") and all(old.get(k, v) == v for k, v in new.items())


def render(found: Imported) -> str:
    """Return the inventory fragment as YAML (each value as JSON, which is YAML, too)."""
    out = [
        "---",
        "# Made by `ddlcheck import-nhc`: what nhc.conf demanded, as declared values. Read it once.",
        "all:",
    ]
    out += ["  vars:", *(f"    {name}: {json.dumps(value)}" for name, value in sorted(found.everyone.items()))]
    out[-1] += "" if found.everyone else " {}"
    if found.hosts:
        out.append("  hosts:")
    for host, values in found.hosts.items():
        out.append(f"    {host}:" + ("" if values else " {}"))
        out += [f"      {name}: {json.dumps(value)}" for name, value in sorted(values.items())]
    return "\n".join(out) + "\n"
