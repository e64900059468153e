"""What a tired operator reads in five seconds: the answer first, then the worst first, equal nodes folded."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING

from ddlcheck.checks import names as roles_and_checks
from ddlcheck.report import fold
from ddlcheck.report.lines import clean, remedy_words
from ddlcheck.verdict import EXIT_NOT_READY, EXIT_READY, VERBS, Status

if TYPE_CHECKING:
    from ddlcheck.report import Result

_COLOURS = {Status.FAIL: "31;1", Status.UNKNOWN: "35;1", Status.WARN: "33", Status.PASS: "32", Status.SKIP: "2"}
_STATUS_WIDTH = 8


def render(result: Result, *, colour: bool = False, width: int = 0, verbose: int = 0) -> str:
    """Return the report; ``width`` 0 keeps every verdict on one line, for grep and logs."""
    paint = _painter(colour)
    groups = fold.groups(result.verdicts, result.own_names)
    wide = min(max((len(fold.nodes(g.nodes)) for g in groups), default=0), 28)
    label = min(max((len(_label(g, result)) for g in groups if _shown(g, verbose)), default=0), 20)
    lines = [_headline(result, paint), ""]
    lines += [_line(g, result, paint, width, (label, wide)) for g in groups if _shown(g, verbose)]
    lines += _passes(groups, result, paint, width) if not verbose else []
    lines += _mend(groups, result)
    return "\n".join(lines) + "\n"


def _painter(colour: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202, FBT001 - a closure
    def paint(text: str, status: Status) -> str:
        return f"\x1b[{_COLOURS[status]}m{text}\x1b[0m" if colour else text

    return paint


def _headline(result: Result, paint) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    of = len(result.promises)
    counts = {status: result.count(status) for status in Status}
    parts = [
        f"{counts[status]} of {of} promises {word}"
        for status, word in ((Status.FAIL, "broken"), (Status.UNKNOWN, "unknown"), (Status.WARN, "in doubt"))
        if counts[status]
    ]
    if result.exit == EXIT_READY:
        answer, status = "READY", Status.PASS
        parts = parts or [f"all {of} promises kept" if of != 1 else "the one promise kept"]
    elif result.exit == EXIT_NOT_READY:
        answer, status = "NOT READY", Status.FAIL
    else:
        answer, status = "COULD NOT TELL", Status.UNKNOWN
        parts = parts or ["nothing was judged"]
    where = f"{len(result.nodes)} node{'s' * (len(result.nodes) != 1)} ({fold.nodes(result.nodes)})"
    return f"{paint(answer, status)}: {', '.join(parts)} on {where}, {result.seconds:.1f} s"


def _shown(group: fold.Group, verbose: int) -> bool:
    return verbose > 0 or group.verdict.status not in (Status.PASS, Status.SKIP)


def _label(group: fold.Group, result: Result) -> str:
    if len(group.promises) > 1 and len(group.promises) == len(result.promises):
        return "every promise"
    return ", ".join(group.promises)


def _line(group: fold.Group, result: Result, paint, width: int, columns: tuple[int, int]) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    verdict = group.verdict
    more = f" (the other {len(group.nodes) - 1} alike)" if group.alike and len(group.nodes) > 1 else ""
    parts = [f"seen {clean(verdict.seen)}{more}"]
    parts += [f"promised {clean(verdict.promised)}"] if verdict.promised else []
    parts += [f"cause: {clean(verdict.cause)}"] if verdict.cause else []
    parts += [f"remedy: {remedy_words(verdict.remedy)}"] if verdict.remedy else []
    label, wide = columns
    head = (
        f"{verdict.status.name:<{_STATUS_WIDTH}}{_label(group, result):<{label}}  {fold.nodes(group.nodes):<{wide}}  "
    )
    body = "; ".join(parts)
    text = head + body
    if width > len(head) + 30:
        text = textwrap.fill(
            body, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
        )
    elif width:
        text = textwrap.fill(text, width, subsequent_indent=" " * _STATUS_WIDTH, break_on_hyphens=False)
    return str(paint(text[:_STATUS_WIDTH], verdict.status)) + text[_STATUS_WIDTH:]


def _passes(groups: list[fold.Group], result: Result, paint, width: int) -> list[str]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Name what was kept, on one line for each set of nodes."""
    by_nodes: dict[tuple[Status, frozenset[str], str], list[str]] = {}
    where: dict[tuple[Status, str], list[str]] = {}
    for group in groups:
        if group.verdict.status in (Status.PASS, Status.SKIP):
            for promise in group.promises:
                where.setdefault((group.verdict.status, promise), []).extend(group.nodes)
    reasons = {p: g.verdict.seen for g in groups if g.verdict.status is Status.SKIP for p in g.promises}
    for (status, promise), names in where.items():
        why = reasons.get(promise, "") if status is Status.SKIP else ""
        by_nodes.setdefault((status, frozenset(names), why), []).append(promise)
    lines = []
    for (status, names_, why), promises in sorted(by_nodes.items(), key=lambda item: -item[0][0]):
        ordered = [n for n in result.nodes if n in names_]
        text = f"{status.name:<{_STATUS_WIDTH}}{', '.join(promises)}  {fold.nodes(ordered)}" + (
            f"  {clean(why)}" if why else ""
        )
        if width:
            text = textwrap.fill(text, width, subsequent_indent=" " * _STATUS_WIDTH, break_on_hyphens=False)
        lines.append(str(paint(text[:_STATUS_WIDTH], status)) + text[_STATUS_WIDTH:])
    return lines


def _mend(groups: list[fold.Group], result: Result) -> list[str]:
    """Return the one command that applies the roles which the failures name, for the nodes they name."""
    bad = [g for g in groups if g.verdict.status in (Status.FAIL, Status.UNKNOWN)]
    # Where a promise is broken by something its own role leaves alone, another promise that waits for it gains
    # nothing by that role.
    by_hand = {
        (promise, node)
        for g in bad if g.verdict.status is Status.FAIL and g.verdict.remedy in VERBS
        for promise in g.promises for node in g.nodes
    }  # fmt: skip
    roles = [
        role for role in roles_and_checks()
        if any(
            g.verdict.remedy == role and (role in g.promises or any((role, node) not in by_hand for node in g.nodes))
            for g in bad
        )
    ]  # fmt: skip
    if not roles or not result.source:
        return []
    # Roles that span nodes are applied to all: a mesh mended on one node is no mesh.
    return ["", "To mend:", f"  ansible-playbook -i {shlex.quote(result.source)} site.yml --tags {','.join(roles)}"]
