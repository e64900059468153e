"""Tokens: what one node writes on a shared file system, every other one has to see; judged for one mount at a time."""

from __future__ import annotations

import errno

from ddlcheck.errors import NotSeen
from ddlcheck.judging.mounts import Problem
from ddlcheck.verdict import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ddlcheck.judging.mounts import Declared

    #: What the storage stage left of one mount on one node: {step: what came of it}, and "peers".
    Part = Mapping[str, Any]
    Found = Iterator[tuple[Sequence[str], Problem]]

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def judge(parts: Mapping[str, Part], declared: Mapping[str, Declared], spread: float) -> Found:
    """Yield (nodes, problem) for one mount; ``spread`` seconds may the server's clock be off."""
    some = next(iter(declared.values()))
    yield from _unwritten(parts, some)
    writers = [node for node, part in parts.items() if _ok(part.get("write"))]
    if not writers:
        return
    apart = list(_unseen(parts, writers, some))
    yield from apart
    yield from _lingering(parts, writers, some)
    yield from _squashed(parts, writers, declared)
    yield from _skewed(parts, writers, some, spread)
    if apart:
        # Whoever is elsewhere did not meet the others there, which would be held against all: only who is apart is.
        return
    if some.rename:
        yield from _renames(parts, writers, some)
    if some.lock:
        yield from _locks(parts, writers, some)


def _ok(step: object) -> bool:
    return isinstance(step, dict) and step.get("state") == "" and "errno" not in step


def _unwritten(parts: Mapping[str, Part], some: Declared) -> Found:
    """Yield the nodes that could not write, and why."""
    for node, part in parts.items():
        step = part.get("write")
        if not isinstance(step, dict):
            raise NotSeen(f"no token of {node} was written to {some.path}")
        if step.get("state") != "":
            yield [node], Problem(
                Status.FAIL, f"{some.path}: writing is HUNG", f"{some.path} reads, but a write to it does not end",
                "inspect", state=step.get("state"),
            )  # fmt: skip
        elif "errno" in step:
            yield [node], _refusal(step, some)


def _refusal(step: Mapping[str, Any], some: Declared) -> Problem:
    number, error = step.get("errno"), str(step.get("error", ""))[:120]
    seen = f"{some.scratch}: cannot be written: {error}"
    if number == errno.EROFS:
        return Problem(Status.FAIL, seen, f"the server exports {some.path} read-only", "inspect", errno=number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Problem(Status.FAIL, seen, f"{some.path} is full, or over its quota", "inspect", errno=number)
    if number in (errno.EACCES, errno.EPERM):
        return Problem(
            Status.UNKNOWN, seen, f"neither root (squashed?) nor the job user may write there: declare as scratch a "
            f"directory of {some.path} where they can, or tokens: false", "inventory", errno=number,
        )  # fmt: skip
    return Problem(Status.FAIL, seen, f"{some.path} cannot be written", "inspect", errno=number)


def _missed(part: Part, step: str, writers: Sequence[str]) -> set[str]:
    """Return whose tokens a node did not see in time; all of them where it could not be asked."""
    found = part.get(step)
    seen = found.get("seen") if isinstance(found, dict) and _ok(found) else None
    if not isinstance(seen, dict) or not set(seen) <= set(writers):
        return set(writers)
    return {w for w, seconds in seen.items() if not isinstance(seconds, (int, float))}


def _unseen(parts: Mapping[str, Part], writers: Sequence[str], some: Declared) -> Found:
    """Yield the nodes that are on another file system than the most, or see it too late."""
    missed = {node: _missed(part, "read", writers) for node, part in parts.items()}
    if not any(missed.values()):
        return
    groups: list[list[str]] = []
    for node in parts:
        home = next((g for g in groups if node not in missed[g[0]] and g[0] not in missed[node]), None)
        groups.append([node]) if home is None else home.append(node)
    groups.sort(key=len, reverse=True)
    tied = len(groups) == 1 or len(groups[0]) == len(groups[1])
    odd = [node for node in parts if tied or node not in groups[0]]
    lost = {node: sorted(whose) for node, whose in missed.items() if whose}
    yield odd, Problem(
        Status.FAIL, f"{some.path}: not all see what {', '.join(odd)} and the others write",
        f"what one node writes to {some.path} is not seen by all within {some.within:g} s: another server or export "
        "than the other nodes', or a cache that is older", "nfs", unseen=lost,
    )  # fmt: skip


def _lingering(parts: Mapping[str, Part], writers: Sequence[str], some: Declared) -> Found:
    """Yield the nodes that still see tokens that were removed."""
    late = {node: sorted(left) for node, part in parts.items() if (left := _missed(part, "gone", writers))}
    if late:
        yield list(late), Problem(
            Status.FAIL, f"{some.path}: files that were removed are still there",
            f"{', '.join(late)} did not see within {some.within:g} s that others removed files from {some.path}",
            "inspect", lingering=late,
        )  # fmt: skip


def _squashed(parts: Mapping[str, Part], writers: Sequence[str], declared: Mapping[str, Declared]) -> Found:
    """Yield surprises about who root is on the server."""
    found = {}
    for node in writers:
        step = parts[node]["write"]
        if step.get("uid") == 0:
            found[node] = step.get("owner") != 0
        elif "as" in step:
            found[node] = True  # root was refused, and the job user wrote instead
    for node, squashed in found.items():
        wanted = declared[node].root_squash
        if wanted is not None and squashed != wanted:
            is_ = "is nobody" if squashed else "stays root"
            yield [node], Problem(
                Status.FAIL, f"{declared[node].path}: root {is_} there",
                f"root {is_} on the server of {declared[node].path}: the export's root_squash is not as declared",
                "inspect", squashed=squashed,
            )  # fmt: skip
    if len(set(found.values())) > 1:
        odd = _minority(found)
        yield odd, Problem(
            Status.WARN, f"root is nobody on {', '.join(n for n, s in found.items() if s)} only",
            "the server treats root of one node otherwise than of another", "inspect", squashed=found,
        )  # fmt: skip


def _minority(found: Mapping[str, bool]) -> list[str]:
    yes = [node for node, value in found.items() if value]
    no = [node for node, value in found.items() if not value]
    return yes if len(yes) <= len(no) else no


def _skewed(parts: Mapping[str, Part], writers: Sequence[str], some: Declared, spread: float) -> Found:
    """Yield the nodes whose clock is surely further from the server's than may be."""
    off = {}
    for node in writers:
        step = parts[node]["write"]
        try:
            ahead = max(float(step["mtime"]) - float(step["after"]), 0.0)
            behind = max(float(step["before"]) - float(step["mtime"]), 0.0)
        except (KeyError, TypeError, ValueError):
            raise NotSeen(f"{node} did not say when it wrote to {some.path}") from None
        if max(ahead, behind) > spread:
            off[node] = round(ahead - behind, 3)
    if off:
        worst = max(off.values(), key=abs)
        all_ = len(off) == len(writers) and len(off) > 1
        yield list(off), Problem(
            Status.FAIL, f"{some.path}: the server's clock is {worst:+.1f} s off",
            f"the clock of the server of {some.path} is off" if all_ else
            f"the clocks of {', '.join(off)} and of the server of {some.path} are apart", "clock", server_ahead_s=off,
        )  # fmt: skip


def _step(part: Part, kind: str) -> Mapping[str, Any]:
    """Return what came of one of the things that all nodes tried at once; a refusal of the whole stands for each."""
    whole = part.get("together")
    if not isinstance(whole, dict):
        return {"state": "not tried"}
    step = whole.get(kind)
    return {"state": "", **step} if _ok(whole) and isinstance(step, dict) else whole


def _renames(parts: Mapping[str, Part], writers: Sequence[str], some: Declared) -> Found:
    for node in writers:
        step = _step(parts[node], "rename")
        if not _ok(step) or step.get("absent") or "rounds" not in step:
            yield [node], _unproven(some, "rename", step)
        elif step.get("missing") or step.get("torn"):
            yield [node], Problem(
                Status.FAIL, f"{some.path}: a file was missing or torn while it was replaced",
                f"rename on {some.path} is not atomic for {node}", "inspect",
                missing=step.get("missing"), torn=step.get("torn"),
            )  # fmt: skip
        elif step.get("last") != step.get("rounds"):
            yield [node], Problem(
                Status.FAIL, f"{some.path}: an old file was still read after it was replaced",
                f"{node} did not see within {some.within:g} s that another node replaced a file on {some.path}",
                "inspect", last=step.get("last"),
            )  # fmt: skip


def _locks(parts: Mapping[str, Part], writers: Sequence[str], some: Declared) -> Found:
    for node in writers:
        step = _step(parts[node], "lock")
        if step.get("errno") in _NO_LOCKS:
            yield [node], Problem(
                Status.FAIL, f"{some.path}: {step.get('error')}", f"{some.path} knows no locks", "inspect",
                errno=step.get("errno"),
            )  # fmt: skip
            return
        if not _ok(step) or step.get("absent") or not isinstance(step.get("rounds"), int):
            yield [node], _unproven(some, "lock", step)
            return
    wanted = sum(int(_step(parts[node], "lock")["rounds"]) for node in writers)
    left = parts[writers[0]].get("remove")
    number = left.get("count") if isinstance(left, dict) and _ok(left) else None
    if not isinstance(number, int):
        yield writers, _unproven(some, "lock", left)
    elif number != wanted:
        yield writers, Problem(
            Status.FAIL, f"{some.path}: {wanted - number} of {wanted} counts under a lock were lost",
            f"locks on {some.path} do not exclude between nodes (local_lock, nolock?)", "inspect",
            counted=number, wanted=wanted,
        )  # fmt: skip


def summary(parts: Mapping[str, Part]) -> dict[str, Any]:
    """Return what is worth keeping of tokens that were all seen: the slowest of each step, in seconds."""
    out: dict[str, Any] = {"nodes": len(parts)}
    for step in ("read", "gone"):
        seen = [s for part in parts.values() for s in (part.get(step) or {}).get("seen", {}).values()]
        out[f"slowest_{step}_s"] = max((s for s in seen if isinstance(s, (int, float))), default=None)
    return out


def _unproven(some: Declared, what: str, step: object) -> Problem:
    why = str(step.get("error") or step.get("state") or step.get("absent") or "") if isinstance(step, dict) else ""
    return Problem(
        Status.UNKNOWN, f"{some.path}: {what} not proven {why}".rstrip()[:200],
        f"the nodes did not all come to try {what} on {some.path} at once", "wait", step=what,
    )  # fmt: skip
