"""GPFS runs on the node, and its declared file systems are mounted and alive.

The daemon's own word, the kernel's, and that of a probe have to agree: a file system can be mounted for the one and
not for the other. Every mm command has a deadline, for they wait for daemons that wait for each other.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import scale
from ddlcheck.judging.mounts import Declared, Problem, dead, options, refused, table, top
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import mount, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.judging.mounts import Mounted
    from ddlcheck.wants import Answer, Wants

#: What states other than active mean (IBM's documentation of mmgetstate), and who mends them.
_STATES = {
    "down": ("the GPFS daemon does not run", "gpfs"),
    "arbitrating": ("the node tries to form a quorum, and does not get one: look at the quorum nodes", "inspect"),
    "unknown": ("the GPFS daemon does not answer: the node was expelled, or its daemon hangs", "inspect"),
}


def wants(intent: Intent) -> Wants:
    """Ask the daemon, the kernel, and each mount."""
    systems = intent["gpfs_file_systems"]
    if not systems:
        return {}
    where, deadline = str(intent["gpfs_bin"]).rstrip("/"), float(intent["gpfs_deadline"])
    out: dict[str, Any] = {"state": run(f"{where}/mmgetstate", "-Y", deadline=deadline)}
    out["health"] = run(f"{where}/mmhealth", "node", "show", "-Y", deadline=deadline)
    if intent["gpfs_rdma"] != "any":
        out["verbs"] = run(f"{where}/mmfsadm", "test", "verbs", "status", deadline=deadline)
    for entry in systems:
        name, path = str(entry["name"]), str(entry["path"])
        out[f"mounted {name}"] = run(f"{where}/mmlsmount", name, "-L", "-Y", deadline=deadline)
        out[f"mount {path}"] = mount(path, sentinel=str(entry.get("sentinel") or ""), deadline=deadline)
    return out


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge the daemon first, for nothing else is what it says without it."""
    systems = intent["gpfs_file_systems"]
    if not systems:
        return Verdict(Status.SKIP, "nothing declared: gpfs_file_systems is empty")
    promised = f"{', '.join(str(e['name']) for e in systems)} mounted, GPFS active"
    evidence: dict[str, Any] = {}
    problems = _daemon(seen, evidence)
    if not problems:
        problems += _rdma(seen, intent, evidence)
        for entry in systems:
            problems += _system(seen, entry, intent, evidence)
        problems += _health(seen, evidence)
    if not problems:
        return Verdict(Status.PASS, "active, all mounted", promised=promised, evidence=evidence)
    worst = max(problems, key=lambda p: p.status)
    return Verdict(
        worst.status, "; ".join(dict.fromkeys(p.seen for p in problems))[:300], promised=promised, cause=worst.cause,
        remedy=worst.remedy, evidence={**evidence, "problems": [p.seen for p in problems]},
    )  # fmt: skip


def _late(got: Answer, command: str) -> Problem | None:
    if got.why in ("deadline", "hung"):
        return Problem(
            Status.FAIL, f"{command} is HUNG", f"{command} did not end in its deadline: the GPFS daemon hangs, or "
            "waits for another node", "inspect", why=got.why,
        )  # fmt: skip
    return None


def _daemon(seen: Seen, evidence: dict[str, Any]) -> list[Problem]:
    """Return what is wrong with the daemon of this node."""
    got = seen["state"]
    late = _late(got, "mmgetstate")
    if late:
        return [late]
    if got.why == "missing":
        return [Problem(Status.FAIL, "no mmgetstate", "IBM Storage Scale is not installed on the node", "inspect")]
    rows = scale.table(got.need(), "mmgetstate")
    if len(rows) != 1:
        raise NotSeen(f"mmgetstate spoke of {len(rows)} nodes instead of this one")
    state = scale.one(rows[0], "state", "mmgetstate").lower()
    evidence.update(state=state, node=_names(rows[0]))
    if state == "active":
        return []
    cause, remedy = _STATES.get(state, (f"mmgetstate calls the node {state}", "inspect"))
    return [Problem(Status.FAIL, f"GPFS is {state}", cause, remedy, state=state)]


def _names(row: Mapping[str, str]) -> list[str]:
    return [name for name in (row.get("nodeName"), row.get("daemonShortName")) if name and name != "(undefined)"]


def _rdma(seen: Seen, intent: Intent, evidence: dict[str, Any]) -> list[Problem]:
    wanted = str(intent["gpfs_rdma"])
    if wanted == "any":
        return []
    late = _late(seen["verbs"], "mmfsadm")
    if late:
        return [late]
    evidence["verbs"] = found = scale.verbs(seen["verbs"].need())
    if found == wanted:
        return []
    return [Problem(
        Status.FAIL, f"RDMA verbs are {found}", f"declared is that RDMA verbs are {wanted} (verbsRdma, verbsPorts; "
        "mmfs.log says why they did not start)", "inspect", verbs=found,
    )]  # fmt: skip


def _system(seen: Seen, entry: Mapping[str, Any], intent: Intent, evidence: dict[str, Any]) -> list[Problem]:
    """Compare what the daemon and the kernel say of one file system, and use it."""
    name, path = str(entry["name"]), str(entry["path"])
    data = seen[f"mount {path}"].need_data()
    mounts = table(data)
    probe = data.get("probe")
    if not isinstance(probe, dict):
        raise NotSeen(f"{path} was not probed")
    # An option that is not declared is not judged; "rw" says that it may be written to.
    said = {**entry, "source": name, "fstype": str(intent["gpfs_type"])}
    m = Declared(said, options=str(entry.get("options") or "rw"), within=0.0)
    gone = _late(seen[f"mounted {name}"], f"mmlsmount {name}") or dead(m, probe, None, None)
    if gone:
        return [gone]
    found = top(mounts, path)
    here = found is not None and found.fstype == m.fstype and found.source.rpartition("/")[2] == name
    daemon = _mounted(seen[f"mounted {name}"], evidence["node"])
    evidence[name] = {"kernel": here, "daemon": daemon, "ms": probe.get("ms")}
    if found is None or not here:
        return [_not_there(m, found, daemon=daemon)]
    bad = refused(m, probe, mounted=True)
    if bad or daemon:
        return [bad] if bad else options(m, found)
    return [Problem(
        Status.FAIL, f"{name} is at {path}, but not for the daemon", f"mmlsmount does not name this node for {name}: "
        "the kernel's mount is left over, as of a node that was expelled", "inspect",
    )]  # fmt: skip


def _not_there(m: Declared, found: Mounted | None, *, daemon: bool) -> Problem:
    if found is not None:
        seen, cause = f"{m.path} is {found.source}", f"{m.path} is mounted, but is not {m.source}"
        return Problem(Status.FAIL, seen, cause, "inspect")
    half = f"{m.source} is mounted for the daemon, but not at {m.path} (half mounted)"
    return Problem(Status.FAIL, f"{m.path} is no mount", half if daemon else f"{m.source} is not mounted", "gpfs")


def _mounted(got: Answer, names: Sequence[str]) -> bool:
    """Whether mmlsmount names this node among those that have it mounted."""
    for row in scale.table(got.need(), "mmlsmount"):
        node = scale.any_of(row, "nodeName", "node", "daemonNodeName", "adminNodeName")
        if not node:
            raise NotSeen("mmlsmount has no column that names the node")
        if node.partition(".")[0] in {name.partition(".")[0] for name in names}:
            return True
    return False


def _health(seen: Seen, evidence: dict[str, Any]) -> list[Problem]:
    """Return what GPFS's own monitor says: a warning, for it may be older than what was just seen."""
    got = seen["health"]
    if got.why == "missing":
        return []
    late = _late(got, "mmhealth")
    if late:
        late.status = Status.WARN
        return [late]
    bad = {}
    for row in scale.table(got.need(), "mmhealth", "State"):
        status = scale.one(row, "status", "mmhealth")
        if status not in ("HEALTHY", "TIPS", "DISABLED"):
            bad[f"{row.get('component', '')} {row.get('entityname', '')}".strip()] = status
    evidence["health"] = bad or "HEALTHY"
    said = ", ".join(f"{what} {status}" for what, status in bad.items())
    return (
        [Problem(Status.WARN, f"mmhealth: {said}"[:150], f"GPFS's own monitor says: {said}"[:200], "inspect")]
        if bad
        else []
    )
