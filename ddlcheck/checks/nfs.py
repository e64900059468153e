"""What is declared to be mounted is mounted, alive, and the same on every node.

A directory that exists proves nothing: a mount is what mountinfo says, alive is what answered a probe in time, and
the same is what one node wrote and the others read.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging.mounts import Declared, Problem, dead, misplaced, options, refused, risen, room, table, top
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import mount, read, read_all, shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer, Wants

_READ_AHEAD = "/sys/class/bdi/*/read_ahead_kb"


def wants(intent: Intent) -> Wants:
    """Ask for every declared mount, what the nodes see of each other through it, and what is served."""
    out: dict[str, Any] = {}
    mounts = declared(intent)
    for m in mounts:
        out[f"mount {m.path}"] = mount(m.path, also=m.also, sentinel=m.sentinel, deadline=float(intent["nfs_deadline"]))
        if m.tokens:
            out[f"shared {m.path}"] = shared(m.path)
    if any(m.fstype.startswith("nfs") for m in mounts) and intent["nfs_readahead"]:
        out["read ahead"] = read_all(_READ_AHEAD)
    if intent["nfs_exports"]:
        out.update(exports=read("/var/lib/nfs/etab"), threads=read("/proc/fs/nfsd/threads"))
    return out


def declared(intent: Intent) -> list[Declared]:
    """Return what this node has to mount."""
    options_, within = str(intent["nfs_options"]), float(intent["nfs_within"])
    return [Declared(entry, options=options_, within=within) for entry in intent["nfs_mounts"]]


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge what one node mounts and serves."""
    mounts = declared(intent)
    if not mounts and not intent["nfs_exports"]:
        return Verdict(Status.SKIP, "nothing declared: nfs_mounts and nfs_exports are empty")
    found = [(m.path, _mount(seen, m, intent)) for m in mounts]
    problems = [p for _, (some, _) in found for p in some] + _served(seen, intent)
    evidence = {path: more for path, (_, more) in found}
    well = [f"{path} {more['used_percent']:.0f} % full" for path, (_, more) in found if more]
    return _verdict(problems, ", ".join(well) or "served", evidence, [m.path for m in mounts])


def _verdict(problems: Sequence[Problem], well: str, evidence: dict[str, Any], paths: Sequence[str]) -> Verdict:
    """Return one verdict of several problems: the worst gives cause and remedy, all are said."""
    promised = f"{', '.join(paths)} mounted, alive and the same everywhere" if paths else "exports served"
    if not problems:
        return Verdict(Status.PASS, well, promised=promised, evidence=evidence, declared={"mounts": list(paths)})
    worst = max(problems, key=lambda p: p.status)
    said = list(dict.fromkeys(p.seen for p in problems))
    evidence["problems"] = [{"seen": p.seen, "cause": p.cause, "remedy": p.remedy, **p.evidence} for p in problems]
    return Verdict(
        worst.status, "; ".join(said)[:300], promised=promised, cause=worst.cause, remedy=worst.remedy,
        evidence=evidence, declared={"mounts": list(paths)},
    )  # fmt: skip


def _mount(seen: Seen, m: Declared, intent: Intent) -> tuple[list[Problem], dict[str, Any]]:
    """Return what is wrong with one mount, and what was seen of it where it answers."""
    data = seen[f"mount {m.path}"].need_data()
    mounts = table(data)
    probe, counters, before = data.get("probe"), data.get("counters"), data.get("before")
    if not isinstance(probe, dict):
        raise NotSeen(f"{m.path} was not probed")
    gone = dead(m, probe, counters, before)
    if gone:
        return [gone], {}
    found = top(mounts, m.path)
    bad = refused(m, probe, mounted=found is not None)
    if bad:
        return [bad], {}
    wrong = misplaced(m, mounts, probe)
    if wrong or found is None:
        return wrong, {}
    problems = [*options(m, found), *room(m, probe, float(intent["nfs_max_used"]))]
    rose = risen(counters, before)
    if rose.get("timeouts"):
        problems.append(Problem(
            Status.WARN, f"{m.path}: {rose['timeouts']} requests timed out in {rose['seconds']:.0f} s",
            f"the server of {m.path} answers now, but did not always", "inspect", counters=rose,
        ))  # fmt: skip
    ahead = _read_ahead(seen, found.device) if found.fstype.startswith("nfs") else None
    if ahead is not None and ahead < int(intent["nfs_readahead"]):
        problems.append(Problem(
            Status.WARN, f"{m.path}: read-ahead of {ahead} KiB", f"the read-ahead of {m.path} is below the declared "
            f"{intent['nfs_readahead']} KiB", "nfs", read_ahead_kib=ahead,
        ))  # fmt: skip
    used = 100.0 * (1 - int(probe["available"]) / max(1, int(probe["blocks"])))
    return problems, {
        "source": found.source, "type": found.fstype, "device": found.device, "used_percent": round(used, 1),
        "options": sorted({*found.options, *found.super_options}), "ms": probe.get("ms"), "rose": rose,
    }  # fmt: skip


def usable(got: Answer | None, m: Declared) -> bool:
    """Whether a mount answered, and is what was declared: only then may anything be written to it."""
    data = got.data if got is not None and not got.why else None
    probe = data.get("probe") if isinstance(data, dict) else None
    if not isinstance(probe, dict) or probe.get("state") != "" or "errno" in probe:
        return False
    found = top(table(data), m.path)
    return found is not None and found.fstype != "autofs" and not found.readonly


def _read_ahead(seen: Seen, device: str) -> int | None:
    got: Answer | None = seen.get("read ahead")
    data = got.data if got is not None else None
    text = data.get(f"/sys/class/bdi/{device}/read_ahead_kb") if isinstance(data, dict) else None
    return int(text) if isinstance(text, str) and text.strip().isdigit() else None


def _served(seen: Seen, intent: Intent) -> list[Problem]:
    """Return what is wrong with what this node serves."""
    if not intent["nfs_exports"]:
        return []
    if "missing" in (seen["threads"].why, seen["exports"].why):
        return [Problem(Status.FAIL, "no NFS server", "the NFS server does not run", "nfs")]
    threads = seen["threads"].need().strip()
    if not threads.isdigit():
        raise NotSeen("the NFS server's threads have an unknown form")
    served = {line.split()[0] for line in seen["exports"].need().splitlines() if line.strip()}
    out = []
    if int(threads) == 0:
        out.append(Problem(Status.FAIL, "no NFS server", "the NFS server has no threads: it does not run", "nfs"))
    elif int(threads) < int(intent["nfs_threads"]):
        out.append(Problem(
            Status.WARN, f"{threads} threads serve", f"fewer than the declared {intent['nfs_threads']} threads", "nfs"
        ))  # fmt: skip
    for entry in intent["nfs_exports"]:
        if str(entry["path"]) not in served:
            path = entry["path"]
            out.append(Problem(Status.FAIL, f"{path} is not exported", f"{path} is not among what is exported", "nfs"))
    return out


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Judge what nodes see of each other through each mount that several of them declare."""
    from ddlcheck.judging import tokens  # noqa: PLC0415 - one node alone needs none of it

    mounts: dict[str, dict[str, Declared]] = {}
    for node in seen:
        for m in declared(intents[node]):
            if m.tokens:
                mounts.setdefault(m.path, {})[node] = m
    out: list[Verdict] = []
    for path, by_node in mounts.items():
        parts = {node: _part(seen[node], path) for node in by_node}
        asked = {node: part for node, part in parts.items() if part["peers"]}
        if len(asked) < 2:  # noqa: PLR2004 - one that writes and one that reads
            out.append(Verdict(Status.SKIP, f"{path}: fewer than two nodes could be asked", nodes=by_node))
            continue
        spread = min(float(intents[node]["clock_max_spread"]) for node in asked)
        found = list(tokens.judge(asked, {n: by_node[n] for n in asked}, spread))
        for nodes, problem in found:
            verdict = _verdict([problem], "", tokens.summary(asked), [path])
            verdict.nodes = tuple(nodes)
            out.append(verdict)
        if not found:
            out.append(_verdict([], f"{path}: every node sees what {len(asked)} write", tokens.summary(asked), [path]))
            out[-1].nodes = tuple(asked)
    return out or [Verdict(Status.SKIP, "no mount is declared that nodes could write to", nodes=seen)]


def _part(seen: Seen, path: str) -> Mapping[str, Any]:
    part = seen[f"shared {path}"].need_data()
    if not isinstance(part, dict) or not isinstance(part.get("peers"), list):
        raise NotSeen(f"what the nodes wrote to {path} has an unknown form")
    return part
