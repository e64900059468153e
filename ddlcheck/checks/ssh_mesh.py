"""The job user reaches any node from any node by ssh, strictly and in silence.

mpirun starts its daemons in a tree, so a star is not enough; and a daemon speaks over the session, so a shell
that prints is a fault. Up to 64 nodes every ordered pair is tried; beyond, the edges of Open MPI's tree and a
random matching.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import account
from ddlcheck.judging.edges import FULL, MARK, PARALLEL, SEED, SSH, WORDS, bad_line, classify, targets
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import SESSION_USER, each, run, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.judging.edges import Failure
    from ddlcheck.wants import Wants

    Edge = tuple[str, str]  # from, to

#: A gate on one node must not knock at every other's door.
NODE_LOCAL = False
_SHOWN = 20
ALONE = "one node: no pair to judge"


def wants(intent: Intent) -> Wants:
    """Ask the node to reach its peers as the job user, and what this very session printed."""
    user = str(intent["ssh_mesh_user"]) or SESSION_USER
    names = [intent.of(node).mpi_name for node in targets(intent.nodes, intent.node)]
    stat = 'stat -L -c "%a %U %s %n" ~ ~/.ssh ~/.ssh/authorized_keys ~/.ssh/"$1"'
    return {
        "session": session(),
        "edges": each((*SSH, "--", "{}", f"echo {MARK}"), names, user=user, parallel=PARALLEL),
        "files": run("sh", "-c", stat, "sh", str(intent["ssh_mesh_key_name"]), user=user),
        "account": account.want(user),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge what the node alone shows: a shell that prints, a job user who is not there; no pair is one node's."""
    user = str(intent["ssh_mesh_user"]) or "the session's user"
    data = seen["session"].need_data()
    noise = str(data.get("noise", "")) if isinstance(data, dict) else ""
    verdict = Verdict(Status.FAIL, "", promised=f"{user} reaches every peer in silence", remedy="ssh_mesh",
                      evidence={"noise": noise[:200], "files": _files(seen)}, declared={"user": user})  # fmt: skip
    if _userless(seen):
        verdict.seen, verdict.cause = f"no user {user}", f"there is no user {user} on {intent.node}"
        verdict.remedy = "inventory"
    elif noise.strip():
        verdict.seen, verdict.cause = f"a login prints {noise.strip()[:40]!r}", WORDS["noisy shell"]
        verdict.remedy = "inspect"
    else:
        tried, peers = _edges(seen), [intent.of(node).mpi_name for node in targets(intent.nodes, intent.node)]
        if any(name not in tried for name in peers):
            raise NotSeen("the node did not try every peer it was asked to try")
        verdict.status, verdict.remedy, verdict.seen = Status.SKIP, "", ALONE
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Judge every edge between nodes that answered; blame the node whose edges fail alike."""
    if len(seen) < 2:  # noqa: PLR2004 - a pair
        return [Verdict(Status.SKIP, ALONE, nodes=seen)]
    gone = {node for node, answers in seen.items() if _userless(answers)}  # their own verdicts say so
    node_of = {intent.mpi_name: node for node, intent in intents.items()}
    tried: dict[Edge, Failure | None] = {}
    for source, answers in seen.items():
        try:
            edges = _edges(answers) if source not in gone else {}
        except NotSeen:
            continue  # its own verdict says so
        for name, got in edges.items():
            # Who did not answer us either is not held against those who tried.
            if name in node_of and node_of[name] not in gone:
                tried[source, node_of[name]] = classify(got)
    out = [_verdict(node, ends, seen[node], intents[node]) for node, ends in _blame(tried, seen).items()]
    fine = {node for edge in tried for node in edge} - {node for verdict in out for node in verdict.nodes}
    if fine:
        every = len(seen) * (len(seen) - 1)
        evidence = {"pairs": len(tried), "of": every, "seed": SEED if len(seen) > FULL else None}
        good = sum(failure is None for failure in tried.values())
        nodes = [node for node in seen if node in fine]
        out.append(Verdict(Status.PASS, f"{good} of {every} pairs", evidence=evidence, nodes=nodes))
    return out


def _edges(seen: Seen) -> dict[str, Any]:
    data = seen["edges"].need_data()
    if not isinstance(data, dict):
        raise NotSeen("the attempts have an unknown form")
    return data


def _userless(seen: Seen) -> bool:
    """Whether an attempt failed because the node has no such user."""
    edges = seen["edges"]
    each_ = edges.data.values() if isinstance(edges.data, dict) else ()
    return account.absent(edges.err) or any(isinstance(e, dict) and "getpwnam" in str(e.get("err")) for e in each_)


def _blame(tried: Mapping[Edge, Failure | None], seen: Mapping[str, Seen]) -> dict[str, list[tuple[Edge, Failure]]]:
    """Return the failed edges by the node to look at.

    First, who has no home or shell for the job user. A node that reaches nobody, or that nobody reaches, for one
    reason, is to blame for all of them; of what is left, the end that a failure of its kind is usually due to.
    """
    out: dict[str, list[tuple[Edge, Failure]]] = {}
    left = {edge: failure for edge, failure in tried.items() if failure}
    for node in seen:
        home, shell = account.no_home(seen[node]["account"]), account.no_shell(seen[node]["account"])
        for edge, failure in list(left.items()):
            if (edge[0] == node and home) or (edge[1] == node and failure.side == "target" and (home or shell)):
                out.setdefault(node, []).append((edge, left.pop(edge)))
    for end in (0, 1):  # sources first: who reaches nobody says nothing about the others
        for node in dict.fromkeys(edge[end] for edge in left):
            mine = [edge for edge in left if edge[end] == node]
            all_ = [edge for edge in tried if edge[end] == node and (edge in left or end == 0 or edge[0] not in out)]
            if len(mine) > 1 and len(mine) == len(all_) and len({left[edge].reason for edge in mine}) == 1:
                out.setdefault(node, []).extend((edge, left.pop(edge)) for edge in mine)
    for edge, failure in left.items():
        out.setdefault(edge[failure.side == "target"], []).append((edge, failure))
    return out


def _verdict(node: str, ends: Sequence[tuple[Edge, Failure]], seen: Seen, intent: Intent) -> Verdict:
    """Return the verdict on the node that is to blame for these edges."""
    (source, _), first = ends[0]
    way = "to" if source == node else "from"
    peers = list(dict.fromkeys(edge[edge[0] == node] for edge, _ in ends))
    known = account.no_home(seen["account"]) or (account.no_shell(seen["account"]) if way == "from" else "")
    if first.reason == "bad config":
        known = bad_line(first.said, node)
    return Verdict(
        Status.FAIL, f"{way} {len(peers)} peer{'s' * (len(peers) > 1)}: {first.reason}",
        promised="any node from any node",
        cause=known or _hint(seen, first.reason, way) or WORDS.get(first.reason, f"ssh failed: {first.said}"),
        remedy="inspect" if known else first.remedy, nodes=[node], declared={"user": str(intent["ssh_mesh_user"])},
        evidence={"reason": first.reason, "way": way, "peers": peers[:_SHOWN], "count": len(peers),
                  "said": first.said, "files": _files(seen)},
    )  # fmt: skip


def _files(seen: Seen) -> list[str]:
    """Return mode, owner, size and path of the job user's home and key files, as far as they are there."""
    return [line[:200] for line in seen["files"].text.splitlines()[:4]]


def _hint(seen: Seen, reason: str, way: str) -> str:
    """Return what the job user's files on a node say about a refused key."""
    rows = [row for row in (line.split(" ", 3) for line in _files(seen)) if len(row) == 4]  # noqa: PLR2004
    if reason != "key refused" or not rows:
        return ""
    if way == "to":
        there = any("/.ssh/id_" in path and int(size or 0) > 0 for *_, size, path in rows if size.isdigit())
        return "" if there else "the job user has no private key there (~/.ssh)"
    for mode, _, size, path in rows:
        if "/.ssh/id_" not in path and set(mode[-2:]) & set("2367"):
            return f"{path} is writable by others ({mode}): sshd does not trust authorized_keys"
        if path.endswith("authorized_keys") and size == "0":
            return f"{path} is empty"
    return "" if any(row[3].endswith("authorized_keys") for row in rows) else "the job user has no authorized_keys"
