"""What is asked of every node of a job before it starts, and how the answers are judged: pure, text in, verdicts out.

To the look that `ddlcheck launch` takes (`ddlcheck.ddl.precheck`: reached, names, locked memory, the same MPI) come
the verdict of each node's own gate, in this very session and as root kept it, and whether all nodes resolve all names
alike.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ddlcheck.ddl import precheck
from ddlcheck.gates.breaker import GATE
from ddlcheck.gates.result import verdict_of
from ddlcheck.gates.slurmconf import propagates, propagation
from ddlcheck.report.lines import clean
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ddlcheck.ddl.seen import Seen

KEPT = "/run/ddlcheck/status.json"
#: Seconds for a node's gate, and for all names; what takes longer is no answer.
_GATE, _NAMES = 20, 10
#: More names are compared by a sum, and not shown one by one.
_LISTED = 64
_SHOWN = 8
_BAD = (Status.FAIL, Status.UNKNOWN)
_TOLD = "/etc/hosts or a name server tells this node something else than the others"

_MORE = """\
say node; echo "${{SLURMD_NODENAME:-$DDLCHECK_NODE}}"
say up; cat /proc/uptime
say owner; stat -c '%u %a' /run/ddlcheck {kept}
say kept; head -c 100000 {kept}
say names
{names}
say gate; timeout -k 1 {gate} {launcher} --json </dev/null 2>&1; r=$?
echo; say status; echo $r
"""

#: Few names, each with its addresses: "name =", then "name address".
_EACH = """\
timeout {seconds} sh -c 'for n in {names}; do echo "= $n"; getent ahosts "$n"; done' </dev/null |
  awk '/^=/ {{ n = $2; print n, "="; next }} {{ print n, $1 }}' | sort -u"""
#: Many: how many of them resolve (getent says a name's own only in its first line), and a sum of all.
_SUM = """\
timeout {seconds} xargs -n 500 getent ahosts <<DDLCHECK_NAMES |
{names}
DDLCHECK_NAMES
  awk '{{ print $1, $3 | "sort -u | cksum" }} $2 == "STREAM" && $3 != "" {{ n++ }} END {{ print "sum", n + 0 }}'"""


def question(hosts: Sequence[str], launcher: str) -> str:
    """Return the shell lines that go into `ddlcheck.ddl.seen.script`."""
    # Host names hold no character that a shell minds (`hosts.host_name`).
    names = (_EACH if len(hosts) <= _LISTED else _SUM).format(names=" ".join(hosts), seconds=_NAMES)
    return _MORE.format(kept=KEPT, gate=_GATE, launcher=shlex.quote(launcher), names=names)


class Asked(NamedTuple):
    """What was asked for: `precheck`'s plan (None without an Open MPI here), root's verdicts' age, and all names."""

    plan: precheck.Plan | None
    manager: str
    max_age: float
    names: Sequence[str]


def judge(asked: Asked, seen: Mapping[str, Seen], config: Mapping[str, str], own_limit: str = "") -> list[Verdict]:
    """Judge every node by itself, and then together; ``config`` is Slurm's, ``own_limit`` this process's own."""
    reached = {host: one for host, one in seen.items() if one.reached}
    out = [_silent(host, one) for host, one in seen.items() if not one.reached] if asked.manager == "slurm" else []
    for host, one in reached.items():
        out += of_node(host, one, asked.max_age)
    if asked.plan is not None:
        limits = {host: limit for host, one in reached.items() if (limit := _declared(host, out))}
        plan = asked.plan._replace(memlock={**limits, **asked.plan.memlock})
        looked = precheck.judge(plan, reached if asked.manager == "slurm" else seen)
        # What the gate says of a promise is said once; the look's word counts where it is the worse one.
        said = {(v.promise, v.nodes[0]): v.status for v in out if v.nodes}
        out += [v for v in looked if v.status > said.get((v.promise, next(iter(v.nodes), "")), Status.SKIP)
                or (v.promise, next(iter(v.nodes), "")) not in said]  # fmt: skip
    elif asked.manager != "slurm":
        out += [_silent(host, one) for host, one in seen.items() if not one.reached]
    _say_propagation(out, seen, config, own_limit)
    return worst([*out, *names(reached, asked.names)])


def worst(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Drop what is said of nodes of which worse is said: one answer for each promise and node."""
    held = list(verdicts)
    found: dict[tuple[str, str], Status] = {}
    for v in held:
        for node in v.nodes:
            found[v.promise, node] = max(v.status, found.get((v.promise, node), Status.SKIP))
    return [v for v in held if not v.nodes or any(found[v.promise, node] == v.status for node in v.nodes)]


def bad_nodes(verdicts: Iterable[Verdict]) -> set[str]:
    """Return the nodes of which something bad is said, or nothing could be told."""
    return {node for v in verdicts if v.status in _BAD for node in v.nodes}


def _silent(host: str, one: Seen) -> Verdict:
    return Verdict(
        Status.UNKNOWN, one.error or one.reason or "no answer", promise=GATE, nodes=(host,), remedy="inspect",
        promised="an answer", cause="the node is down or hung, or its slurmd starts no step",
        evidence={"reason": one.reason},
    )  # fmt: skip


def of_node(host: str, one: Seen, max_age: float) -> list[Verdict]:
    """Return what the node's gate says here and now, with root's last word where this session could not see."""
    live = _result(one["gate"], one["status"], host)
    kept = _kept(one, max_age)
    out = []
    for verdict in live:
        roots = kept.get(verdict.promise)
        # What root saw is the better answer where this session saw nothing, and the worse one counts otherwise.
        blind = verdict.status in (Status.UNKNOWN, Status.SKIP)
        if roots and roots.status is not Status.SKIP and (blind or roots.status > verdict.status):
            roots.evidence["seen_by"] = "root"
            verdict = roots  # noqa: PLW2901
        verdict.nodes = (host,)
        out.append(verdict)
    return out


def _result(text: str, status: str, host: str) -> list[Verdict]:
    """Return the verdicts of a gate's answer; whatever is no answer is one verdict that could not tell."""
    start, end = text.find("{"), text.rfind("}")
    said = clean(text[: start if start >= 0 else None])[-200:]
    try:
        record = json.loads(text[start : end + 1]) if start >= 0 else {}
        found = [verdict_of(one) for one in record.get("verdicts", [])]
        refused = str(record.get("refused", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found, refused, said = [], "", "an answer that is no verdict"
    sound = status == "0" and any(v.status in (Status.PASS, Status.WARN) for v in found)
    if sound or (status in ("1", "3") and any(v.status in _BAD for v in found)):
        return found
    why = {
        "127": "there is no gate on the node", "126": "the gate cannot be run", "124": f"no verdict in {_GATE} s",
        "137": f"no verdict in {_GATE} s", "": "the node fell silent before its verdict",
    }.get(status, clean(refused) or said or f"exit status {status}")  # fmt: skip
    verdict = Verdict(
        Status.UNKNOWN, why, promise=GATE, promised="a verdict of the node's own gate", nodes=(host,),
        cause="the gate is not installed there, has no usable intent file, or does not work", remedy=GATE,
        evidence={"status": status},
    )  # fmt: skip
    return [verdict, *(v for v in found if v.status in _BAD)]


def _kept(one: Seen, max_age: float) -> dict[str, Verdict]:
    """Return root's own verdicts by promise; none where the file is not root's, or of another boot, or too old."""
    try:
        owners = [line.split() for line in one["owner"].splitlines()]
        if len(owners) != 2 or any(uid != "0" or int(mode, 8) & 0o022 for uid, mode in owners):  # noqa: PLR2004
            return {}
        record = json.loads(one["kept"])
        age = float(one["up"].split()[0]) - float(record["since_boot"])
        if record["boot"] != one["boot"] or not -1.0 <= age <= max_age:
            return {}
        found = [verdict_of(entry) for entry in record["verdicts"]]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return {}
    return {verdict.promise: verdict for verdict in found}


def _declared(host: str, verdicts: Iterable[Verdict]) -> str:
    """Return the limit that is promised of a node, as its own gate says."""
    return next(
        (
            str(v.declared["limit"])
            for v in verdicts
            if v.promise == "memlock" and host in v.nodes and "limit" in v.declared
        ),
        "",
    )


def _say_propagation(
    verdicts: Iterable[Verdict], seen: Mapping[str, Seen], config: Mapping[str, str], own: str
) -> None:
    """Name the shell that submitted the job where its low limit is what the steps have."""
    if not propagates(config):
        return
    for verdict in verdicts:
        if verdict.promise != "memlock" or verdict.status is not Status.FAIL:
            continue
        step = {seen[host]["memlock"] for host in verdict.nodes}
        if step == {own} and verdict.evidence.get("seen_by") != "root":
            verdict.cause = (
                f"{propagation(config)} carries the {own} KiB of the "
                "shell that submitted the job into every step: PropagateResourceLimitsExcept=MEMLOCK in slurm.conf, "
                "or sbatch --propagate=NONE"
            )
            verdict.remedy = "reconnect"
            verdict.evidence["propagated"] = own


def names(seen: Mapping[str, Seen], asked: Sequence[str]) -> list[Verdict]:
    """Judge whether the nodes resolve all names, and alike; the majority is taken to be right."""
    if len(asked) > _LISTED:
        return _sums({host: one["names"] for host, one in seen.items()}, len(asked))
    tables = {host: _table(one["names"]) for host, one in seen.items()}
    usual: dict[str, frozenset[str]] = {}
    for name in dict.fromkeys(name for table in tables.values() for name in table):
        votes = Counter(t[name] for t in tables.values() if t.get(name) and not _loopback(t[name]))
        usual[name] = votes.most_common(1)[0][0] if votes else frozenset()
    return [_names_of(host, table, usual) for host, table in tables.items()]


def _names_of(host: str, table: Mapping[str, frozenset[str]], usual: Mapping[str, frozenset[str]]) -> Verdict:
    missing = [name for name in usual if not table.get(name)]
    # 127.0.1.1 for the own name is what installers write; a daemon that announces it is not found by the others.
    loops = [name for name, found in table.items() if _loopback(found) and not _loopback(usual.get(name, found))]
    other = [name for name, found in table.items() if found and not _loopback(found) and found != usual[name]]
    evidence: dict[str, Any] = {
        "missing": missing[:_SHOWN], "loopback": loops[:_SHOWN],
        "other": {name: sorted(table[name]) for name in other[:_SHOWN]},
    }  # fmt: skip
    if not missing and not loops and not other:
        return Verdict(Status.PASS, f"{len(usual)} names", promise="hosts_file", nodes=(host,))
    kinds = (("does not resolve", missing), ("a loopback address for", loops), ("another address for", other))
    parts = [f"{what} {', '.join(found[:_SHOWN])}" for what, found in kinds if found]
    return Verdict(
        Status.FAIL, "; ".join(parts), promised="every name of the job, as the other nodes have it", nodes=(host,),
        promise="hosts_file", remedy="hosts_file", evidence=evidence,
        cause=_TOLD,
    )  # fmt: skip


def _sums(said: Mapping[str, str], count: int) -> list[Verdict]:
    """Compare sums of what nodes resolve, for many names."""
    read = {host: _sum(text) for host, text in said.items()}
    votes = Counter(found for found in read.values() if found is not None and found[0] == count)
    usual = votes.most_common(1)[0][0] if votes else None
    out = []
    for host, found in read.items():
        verdict = Verdict(
            Status.PASS, f"{count} names", promised="every name of the job, as the other nodes have it",
            promise="hosts_file", nodes=(host,),
        )  # fmt: skip
        if found is None:
            verdict.status, verdict.seen = Status.UNKNOWN, "the names were not resolved in time"
        elif found[0] != count:
            verdict.status, verdict.seen = Status.FAIL, f"{found[0]} of {count} names resolve"
        elif found != usual:
            verdict.status, verdict.seen = Status.FAIL, "names resolve otherwise than on the other nodes"
        if verdict.status is not Status.PASS:
            verdict.cause, verdict.remedy = _TOLD, "hosts_file"
        out.append(verdict)
    return out


def _sum(text: str) -> tuple[int, str] | None:
    """Return how many names resolved, and the sum of their addresses; None where the node did not come to its end."""
    lines = sorted(text.split("\n"), key=lambda line: not line.startswith("sum "))
    number = lines[0][len("sum ") :] if len(lines) == 2 else ""  # noqa: PLR2004
    return (int(number), lines[1]) if number.isdigit() else None


def _table(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        name, _, address = line.partition(" ")
        found.setdefault(name, set()).update({address} - {"=", ""})
    return {name: frozenset(addresses) for name, addresses in found.items()}


def _loopback(addresses: Iterable[str]) -> bool:
    return any(address.startswith("127.") or address == "::1" for address in addresses)
