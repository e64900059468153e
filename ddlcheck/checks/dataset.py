"""Every node has the same bytes of every declared data set in the same place, or its own part of them.

What is there is compared with a manifest whose SHA-256 was declared, never with what a node says of itself. Quickly:
names, sizes, owners, and the content of what changed since it was proven and of some others. ``ddlcheck dataset
verify --full`` reads every byte, and is judged here, too.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import differences
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import dataset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.judging.differences import Said
    from ddlcheck.wants import Wants

#: Seconds a look may take beside its budget before it counts as hung.
_SPARE = 8.0


def wants(intent: Intent) -> Wants:
    """Ask for a quick look at every data set of this node."""
    budget = float(intent["dataset_budget"])
    return {
        f"dataset {entry['name']}": dataset(spec(intent, entry), budget + _SPARE) for entry in declared(intent)
    }  # fmt: skip


def declared(intent: Intent) -> list[Mapping[str, Any]]:
    """Return the data sets that belong on this node."""
    return [
        e for e in intent["dataset_sets"] if e.get("mode") != "partitioned" or intent.node in (e.get("nodes") or [])
    ]


def spec(intent: Intent, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the node's program has to know of one data set."""
    parts = entry.get("nodes") or [] if entry.get("mode") == "partitioned" else []
    # One copy for all is walked by one node: every other one spot-checks it, or a server would be asked N times.
    walks = entry.get("mode") != "shared" or intent.node == _holders(intent, entry)[0]
    return {
        "name": str(entry["name"]), "dest": str(entry["dest"]), "digest": str(entry["digest"]).lower(),
        "owner": str(entry.get("owner") or ""), "index": parts.index(intent.node) if parts else 0, "count": len(parts),
        "walk": walks, "budget": float(intent["dataset_budget"]), "sample": int(intent["dataset_sample"]),
    }  # fmt: skip


def _holders(intent: Intent, entry: Mapping[str, Any]) -> list[str]:
    """Return the nodes that hold a set, as far as is known: a node's own intent file says nothing of the others'."""
    out = []
    for node in intent.nodes:
        try:
            names = [e["name"] for e in declared(intent.of(node))]
        except NotSeen:
            names = [entry["name"]]
        if entry["name"] in names:
            out.append(node)
    return out or [intent.node]


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge what one node has."""
    entries = declared(intent)
    if not entries:
        return Verdict(Status.SKIP, "nothing declared: dataset_sets is empty")
    said: list[Said] = []
    evidence: dict[str, Any] = {}
    for entry in entries:
        name = str(entry["name"])
        data = seen[f"dataset {name}"].need_data()
        if not isinstance(data, dict):
            raise NotSeen(f"what there is of {name} has an unknown form")
        said += _one(entry, data)
        evidence[name] = data
    names = ", ".join(str(e["name"]) for e in entries)
    worst = max(said, default=None, key=lambda s: s[0])
    if worst is None:
        count = sum(int(d["files"]) for d in evidence.values())
        return Verdict(Status.PASS, f"{names}: {count} files as in the manifest", promised=names, evidence=evidence)
    return Verdict(
        worst[0], "; ".join(s[1] for s in said)[:300], promised=f"{names} whole and unchanged", cause=worst[2],
        remedy=worst[3], evidence=evidence, declared={e["name"]: e["digest"] for e in entries},
    )  # fmt: skip


def _one(entry: Mapping[str, Any], data: Mapping[str, Any]) -> list[Said]:
    """Return what is wrong with one data set."""
    dest, name = str(entry["dest"]), str(entry["name"])
    managed = (entry.get("method") or "none") != "none"
    role = "dataset" if managed else "inspect"
    state = data.get("state")
    if state in ("late", "hung", "stuck"):
        return [(Status.FAIL, f"{dest} is HUNG", f"the file system of {dest} does not answer", "inspect")]
    if state != "":
        raise NotSeen(f"what there is of {name} has an unknown form")
    if "trouble" in data:
        trouble = str(data["trouble"])[:200]
        unsure = not trouble.startswith("the manifest")
        cause = f"{name}: {trouble}, so nobody can tell whether {dest} is what was declared"
        return [(Status.UNKNOWN if unsure else Status.FAIL, f"{name}: {trouble}", cause, role)]
    if "errno" in data:
        error = str(data.get("error"))[:120]
        return [(Status.FAIL, f"{dest}: {error}", f"{dest} cannot be read", "inspect")]
    there = data.get("there")
    if there in ("nothing", "dangling", "file"):
        what = {"nothing": "is not there", "dangling": "leads to nothing", "file": "is a file"}[str(there)]
        return [(Status.FAIL, f"{dest} {what}", f"{name} was not staged here, or was taken away", role)]
    if managed and not (there == "link" and data.get("current")):
        seen = f"{dest} leads to {data.get('target')}" if there == "link" else f"{dest} is a folder of its own"
        return [(Status.FAIL, seen, f"{dest} holds another version of {name} than declared, or was not staged", role)]
    return differences.judge(name, data, role)


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Judge whether the parts of partitioned data sets are the whole: every file on one node, and on one only."""
    parted: dict[str, list[str]] = {}
    for intent in intents.values():
        for entry in declared(intent):
            if entry.get("mode") == "partitioned":
                parted[str(entry["name"])] = [str(node) for node in entry["nodes"]]
    out = [_parts(name, nodes, seen) for name, nodes in parted.items()]
    return out or [Verdict(Status.SKIP, "no data set is partitioned", nodes=seen)]


def _parts(name: str, nodes: Sequence[str], seen: Mapping[str, Seen]) -> Verdict:
    absent = [node for node in nodes if node not in seen]
    asked = [node for node in nodes if node in seen]
    if absent:
        return Verdict(
            Status.UNKNOWN, f"{name}: parts of {', '.join(absent)} not asked for", promised=f"{name} complete",
            cause=f"without {', '.join(absent)} nobody knows whether {name} is complete", remedy="reconnect",
            nodes=asked,
        )  # fmt: skip
    found, whole = {}, set()
    for node in asked:
        data = seen[node][f"dataset {name}"].need_data()
        if not isinstance(data, dict) or not isinstance(data.get("found_files"), int) or data.get("differences"):
            return Verdict(
                Status.FAIL, f"{name}: the part of {node} is not as it should be", promised=f"{name} complete",
                cause=f"the part of {node} is damaged or missing, so {name} is not complete", remedy="dataset",
                nodes=[node],
            )  # fmt: skip
        found[node] = data["found_files"]
        whole.add(data.get("of_files"))
    total = sum(found.values())
    verdict = Verdict(
        Status.PASS, f"{name}: {total} files in {len(nodes)} parts, none twice", promised=f"{name} complete",
        nodes=asked, evidence={"files": found, "of_files": sorted(map(str, whole))},
    )  # fmt: skip
    if whole != {total}:
        verdict.status, verdict.remedy = Status.FAIL, "dataset"
        verdict.cause = f"the parts of {name} hold {total} files, its manifest {', '.join(sorted(map(str, whole)))}"
    return verdict
