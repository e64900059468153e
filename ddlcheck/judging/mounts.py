"""Mounts: what was declared of one, what the kernel says of it, and what is wrong with it.

Nothing here believes that a directory is a mount: a mount is a line of mountinfo, and alive is what answered.
"""

from __future__ import annotations

import errno
import posixpath
import re

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

#: Options that only mount(8), systemd or a human reads: the kernel never shows them.
_UNSEEN = re.compile(r"x-.*|comment=.*|_netdev|nofail|(no)?auto|defaults|[fb]g|(no)?users?|owner|group|r?bind")
#: What the server may grant less of than was asked.
_GRANTED = ("rsize", "wsize", "nconnect")
_ALIAS = {"nfsvers": "vers", "v3": "vers=3", "v4": "vers=4", "v4.0": "vers=4.0", "v4.1": "vers=4.1", "v4.2": "vers=4.2",
          "tcp": "proto=tcp", "udp": "proto=udp", "rdma": "proto=rdma"}  # fmt: skip
#: Bytes below which there is no room for even a checkpoint's first write.
_NOTHING = 1 << 20


class Declared:
    """One mount as it was declared, absent keys filled in with what the role's variables say of all of them."""

    __slots__ = ("bind", "fstype", "lock", "options", "over", "path", "rename", "root_squash", "scratch", "sentinel",
                 "source", "tokens", "within")  # fmt: skip

    def __init__(self, entry: Mapping[str, Any], *, options: str, within: float) -> None:
        self.path = str(entry["path"]).rstrip("/") or "/"
        self.source = str(entry["source"])
        self.fstype = str(entry.get("fstype") or "nfs4")
        self.options = [word.strip() for word in str(entry.get("options") or options).split(",") if word.strip()]
        self.bind = bool({"bind", "rbind"} & set(self.options))
        said = entry.get("tokens")
        self.tokens = "ro" not in self.options if said is None else bool(said)
        self.scratch = posixpath.normpath(posixpath.join(self.path, str(entry.get("scratch") or "")))
        self.sentinel = str(entry.get("sentinel") or "")
        self.within = float(entry["within"]) if entry.get("within") is not None else within
        self.rename = bool(entry.get("rename"))
        self.lock = bool(entry.get("lock"))
        self.over = bool(entry.get("over"))
        self.root_squash: bool | None = entry.get("root_squash")

    @property
    def also(self) -> list[str]:
        """Other paths whose mounts have to be known to judge this one."""
        return [self.source] if self.bind else []


class Problem:
    """One thing wrong with one mount."""

    __slots__ = ("cause", "evidence", "remedy", "seen", "status")

    def __init__(self, status: Status, seen: str, cause: str, remedy: str, **evidence: Any) -> None:  # noqa: ANN401
        self.status, self.seen, self.cause, self.remedy, self.evidence = status, seen, cause, remedy, evidence


class Mounted:
    """One line of mountinfo."""

    __slots__ = ("device", "fstype", "options", "point", "root", "source", "super_options")

    def __init__(self, line: str) -> None:
        left, dash, right = line.partition(" - ")
        words, more = left.split(" "), right.split(" ")
        if not dash or len(words) < 6 or len(more) < 3:  # noqa: PLR2004 - proc(5)
            raise NotSeen("mountinfo has a line of an unknown form")
        self.device, self.root, self.point = words[2], unescaped(words[3]), unescaped(words[4])
        self.options = words[5].split(",")
        self.fstype, self.source, self.super_options = more[0], unescaped(more[1]), more[2].split(",")

    @property
    def readonly(self) -> bool:
        """Whether the mount, or the file system below it, is read-only."""
        return "ro" in self.options or "ro" in self.super_options


def unescaped(word: str) -> str:
    """Undo the octal escapes of /proc."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), word)


def table(data: Any) -> list[Mounted]:  # noqa: ANN401 - JSON of a node
    """Return the mounts a node named; raise `NotSeen` where they are not lines of mountinfo."""
    lines = data.get("mounts") if isinstance(data, dict) else None
    if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
        raise NotSeen("the node named no mounts, not even that of /")
    return [Mounted(line) for line in lines]


def top(mounts: Sequence[Mounted], path: str) -> Mounted | None:
    """Return what is mounted at a path, the topmost where there are several."""
    return next((m for m in reversed(mounts) if m.point == path), None)


def under(mounts: Sequence[Mounted], path: str) -> tuple[str, str] | None:
    """Return (device, path in the file system) of a path: what a bind mount of it would show."""
    best: Mounted | None = None
    for m in mounts:
        inside = path == m.point or path.startswith(m.point.rstrip("/") + "/")
        if inside and (best is None or len(m.point) >= len(best.point)):
            best = m
    if best is None:
        return None
    rest = path[len(best.point.rstrip("/")) :]
    return best.device, posixpath.normpath(best.root + rest)


def dead(declared: Declared, probe: Mapping[str, Any], counters: Any, before: Any) -> Problem | None:  # noqa: ANN401
    """Say that a mount does not answer; None where it does."""
    state = probe.get("state")
    if state == "":
        return None
    if state not in ("late", "hung", "stuck"):
        raise NotSeen(f"the probe of {declared.path} has an unknown form")
    pid = int(probe.get("pid") or 0)
    more = {
        "late": f"no answer within {probe.get('seconds')} s",
        "hung": f"no answer within {probe.get('seconds')} s, and process {pid} cannot be killed",
        "stuck": f"process {pid} of an earlier look is still waiting for it",
    }[state]
    rose = risen(counters, before)
    said = (
        f"; {rose['timeouts']} requests timed out in the last {rose['seconds']:.0f} s" if rose.get("timeouts") else ""
    )
    return Problem(
        Status.FAIL, f"{declared.path} is HUNG: {more}",
        f"the server of {declared.path} ({declared.source}) does not answer{said}", "inspect",
        state=state, pid=pid, counters=rose,
    )  # fmt: skip


def risen(counters: Any, before: Any) -> dict[str, float]:  # noqa: ANN401
    """Return by how much the NFS client's counters rose since the last look; empty where that is not known."""
    if not isinstance(counters, dict) or not isinstance(before, dict):
        return {}
    try:
        out = {name: counters[name] - before[name] for name in ("ops", "timeouts", "sends", "recvs", "age")}
    except (KeyError, TypeError):
        return {}
    # A younger mount than at the last look has counters of its own.
    return {} if min(out.values()) < 0 else {**out, "seconds": float(out.pop("age"))}


def refused(declared: Declared, probe: Mapping[str, Any], *, mounted: bool) -> Problem | None:
    """Say why a mount that answers cannot be used; None where it can."""
    if "errno" not in probe:
        return None
    number, error, at = probe.get("errno"), str(probe.get("error", ""))[:120], str(probe.get("at", ""))
    path = declared.path
    if number == errno.ESTALE:
        return Problem(
            Status.FAIL, f"{path}: stale file handle",
            "the export was removed or replaced on the server while it was mounted: it has to be mounted anew", "nfs",
            errno=number,
        )  # fmt: skip
    if number == errno.ENOENT and declared.sentinel and at.endswith(declared.sentinel):
        return Problem(
            Status.FAIL, f"{at} is missing", f"{path} is mounted, but it does not hold what it should", "inspect",
            errno=number,
        )  # fmt: skip
    if number in (errno.EACCES, errno.EPERM):
        return Problem(
            Status.FAIL, f"{path}: permission denied", "the server squashes root, and lets nobody else in either",
            "inspect", errno=number,
        )  # fmt: skip
    if number == errno.ENOENT and not mounted:
        return Problem(Status.FAIL, f"{path} does not exist", f"{path} is not mounted", "nfs", errno=number)
    return Problem(Status.FAIL, f"{path}: {error}", f"{path} answers with an error", "inspect", errno=number)


def misplaced(declared: Declared, mounts: Sequence[Mounted], probe: Mapping[str, Any]) -> list[Problem]:
    """Say that something else is mounted there than was declared, or nothing."""
    found, path = top(mounts, declared.path), declared.path
    if found is None or found.fstype == "autofs":
        cause, remedy = f"{path} is not mounted: an empty directory is in its place", "nfs"
        if found is not None:
            cause = f"{path} is not mounted: using it did not make its automount unit mount it"
        elif not probe.get("empty"):
            cause = f"{path} is not mounted: a directory with files of its own is in its place"
            if not declared.over:  # the role hides nobody's files unasked
                cause, remedy = f"{cause}, which a mount would hide: move them away, then apply role nfs", "inspect"
        return [Problem(Status.FAIL, f"{path} is no mount", cause, remedy, empty=probe.get("empty"))]
    wrong: tuple[str, str] | None = None
    if declared.bind:
        if under(mounts, declared.source.rstrip("/") or "/") != (found.device, found.root):
            wrong = f"{found.source}{found.root} ({found.fstype})", "source"
    elif _clean(found.source) != _clean(declared.source):
        wrong = found.source, "source"
    elif found.fstype != declared.fstype and (declared.fstype, found.fstype) != ("nfs", "nfs4"):
        wrong = found.fstype, "type"
    elif _number(probe, "dev") == _number(probe, "parent"):
        wrong = "the device of the directory above", "device"
    return [_wrong(declared, *wrong)] if wrong else []


def _wrong(declared: Declared, seen: str, what: str) -> Problem:
    return Problem(
        Status.FAIL, f"{declared.path} is {seen}",
        f"{declared.path} is mounted, but not from {declared.source}: another {what}", "nfs", **{what: seen},
    )  # fmt: skip


def _clean(source: str) -> str:
    return source if source.endswith(":/") or source == "/" else source.rstrip("/")


def options(declared: Declared, found: Mounted) -> list[Problem]:
    """Say which of the declared options the kernel does not know of."""
    wanted = [_ALIAS.get(w, w.replace("nfsvers=", "vers=")) for w in declared.options if not _UNSEEN.fullmatch(w)]
    path = declared.path
    if found.readonly and "ro" not in wanted:
        by = "the mount was made so" if "ro" in found.options else "the server or an error made it so"
        return [Problem(Status.FAIL, f"{path} is read-only", f"{path} is read-only by surprise: {by}", "nfs")]
    # A bind mount shows its own flags; what the file system below was mounted with is not its promise.
    have = set(found.options) | set(found.super_options)
    lacking = [w for w in wanted if w not in have and w != "rw" and not _implied(w, have)]
    less = [w for w in lacking if w.partition("=")[0] in _GRANTED]
    wrong = [w for w in lacking if w not in less]
    if wrong:
        return [Problem(
            Status.FAIL, f"{path}: {', '.join(_instead(w, have) for w in wrong)}",
            f"{path} was mounted with other options than declared ({','.join(wrong)})", "nfs", lacking=wrong,
        )]  # fmt: skip
    if less:
        return [Problem(
            Status.WARN, f"{path}: {', '.join(_instead(w, have) for w in less)}",
            f"the server grants less than was asked, or an earlier mount of it decided ({','.join(less)})", "inspect",
            lacking=less,
        )]  # fmt: skip
    return []


def _implied(word: str, have: Iterable[str]) -> bool:
    """Whether the kernel writes it otherwise: vers=4 becomes vers=4.2, noatime stands for nodiratime, too."""
    if word == "nodiratime":
        return "noatime" in have
    return word == "vers=4" and any(w.startswith("vers=4.") for w in have)


def _instead(word: str, have: Iterable[str]) -> str:
    name = word.partition("=")[0]
    other = {"hard": "soft", "soft": "hard", "noatime": "relatime"}.get(name, "")
    found = next((w for w in have if w.partition("=")[0] == name or w == other), "")
    return f"{found} instead of {word}" if found else f"{word} is missing"


def room(declared: Declared, probe: Mapping[str, Any], most: float) -> list[Problem]:
    """Say that a mount has no room left; ``most`` per cent may be in use."""
    out = []
    blocks = _NOTHING // max(1, _number(probe, "block"))
    for what, total, left, least in (("bytes", "blocks", "available", blocks), ("inodes", "files", "files_free", 1)):
        size, free = _number(probe, total), _number(probe, left)
        used = 100.0 * (size - free) / size if size else 0.0
        full = bool(size) and free < least
        why = ", it holds too many files" if what == "inodes" else ""
        if full or used >= most:
            status = Status.FAIL if full and "ro" not in declared.options else Status.WARN
            seen = f"{declared.path}: no {what} left" if full else f"{declared.path}: {used:.0f} % of its {what} in use"
            cause = f"{declared.path} is full: no {what} left{why}" if full else f"{declared.path} is nearly full{why}"
            out.append(Problem(status, seen, cause, "inspect", **{f"{what}_used_percent": used}))
    return out


def _number(probe: Mapping[str, Any], name: str) -> int:
    value = probe.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotSeen(f"the probe did not say its {name}")
    return value
