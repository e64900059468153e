"""Every node resolves every name of the cluster to the same addresses.

Asked of the resolver, whatever feeds it; /etc/hosts and nsswitch.conf are read to name the line to look at.
Names whose address is declared are judged node by node, the others by comparing the nodes.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import SESSION_USER, read, resolve, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

HOSTS, SWITCH = "/etc/hosts", "/etc/nsswitch.conf"
_SHOWN = 20  # names listed in evidence; the count says the rest

#: Names the job user is asked for: enough to tell whether it is served by the resolver that root is.
_ASKED = 8
#: Prints the files of the resolver that its user may not read, and the names that are not resolved for it.
_AS_USER = """\
for f in /etc/hosts /etc/nsswitch.conf /etc/resolv.conf; do [ ! -e "$f" ] || [ -r "$f" ] || echo "file $f"; done
for n; do getent hosts "$n" >/dev/null || echo "name $n"; done
echo done
"""

# One cluster's addresses are the same for all its nodes: worked out once, not once for each of 256.
_memo: tuple[Any, dict[str, str], dict[str, str]] = (None, {}, {})


def _cluster(intent: Intent) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    """Return (every name, the declared address of names, the node of names)."""
    global _memo  # noqa: PLW0603 - a cache of one
    if _memo[0] is not intent.cluster:
        intents = [intent.of(node) for node in intent.nodes]
        addresses = {name: address for i in intents for name, address in i.addresses.items()}
        _memo = (intent.cluster, addresses, {name: i.node for i in intents for name in i.names})
    return intent.all_names, *_memo[1:]


def wants(intent: Intent) -> Wants:
    """Ask the resolver for every name at once, and as the job's user for a few: root may read what it may not."""
    few = [*intent.names, *(name for name in intent.all_names if name not in intent.names)][:_ASKED]
    user = str(intent["ssh_mesh_user"]) or SESSION_USER
    return {
        "resolve": resolve(intent.all_names), "hosts": read(HOSTS), "switch": read(SWITCH),
        "user": run("sh", "-c", _AS_USER, "sh", *few, user=user),
    }  # fmt: skip


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Compare what the node resolves with what is declared, and look at its own name."""
    names, declared, owner = _cluster(intent)
    data = _data(seen)
    forward = data["forward"]
    wrong: dict[str, list[str]] = {}
    for name in names:
        found = _addresses(forward, name)
        if not found or (name in declared and found != [declared[name]]):
            wrong[name] = found
    own = str(data.get("hostname", ""))
    mine = [a for a in _addresses(data, "self") if _loopback(a)] if own in intent.names else []
    wrong.update({own: mine} if mine else {})
    back = {str(a): str(name) for a, name in data["reverse"].items() if not _loopback(str(a))}
    swapped = [
        address for address, name in back.items()
        if name in owner and not any(owner[name] == owner[n] for n in names if address in forward[n])
    ]  # fmt: skip
    verdict = Verdict(
        Status.PASS, f"{len(names)} names", promised=f"{len(names)} names to their addresses",
        evidence={"names": len(names), "wrong": dict(list(wrong.items())[:_SHOWN]), "wrong_count": len(wrong),
                  "reverse": {a: back[a] for a in swapped[:_SHOWN]}},
        declared={name: declared[name] for name in list(wrong)[:_SHOWN] if name in declared},
    )  # fmt: skip
    if wrong or swapped:
        name = own if mine else next(iter(wrong), back[swapped[0]] if swapped else "")
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        verdict.status, verdict.remedy = Status.FAIL, "hosts_file"
        verdict.seen = f"{name} is {', '.join(wrong.get(name, swapped[:1])) or 'not resolved'}{others}"
        verdict.promised = f"{name} is {declared[name]}" if name in declared else verdict.promised
        verdict.cause = _cause(seen, name, wrong.get(name, swapped[:1]), right=[declared.get(name, "")])
    elif refused := _refused(seen):
        _refuse(verdict, refused, str(intent["ssh_mesh_user"]) or "the session's user")
    elif not all(back.values()):
        verdict.status, verdict.remedy = Status.WARN, "hosts_file"
        verdict.seen, verdict.cause = "addresses without a name", "no reverse entry in /etc/hosts or DNS"
    return verdict


def _refused(seen: Seen) -> list[str]:
    *lines, last = seen["user"].need().splitlines() or [""]
    if last != "done" or not all(line.startswith(("name ", "file ")) for line in lines):
        raise NotSeen("what the job's user says of the resolver has an unknown form")
    return lines


def _refuse(verdict: Verdict, refused: Sequence[str], user: str) -> None:
    """Say what the job's user does not get, although root does."""
    names = [line.partition(" ")[2] for line in refused if line.startswith("name ")]
    files = [line.partition(" ")[2] for line in refused if line.startswith("file ")]
    verdict.status, verdict.remedy = Status.FAIL, "hosts_file" if set(files) <= {HOSTS, SWITCH} else "inspect"
    verdict.seen = f"{names[0] if names else files[0]} is not {'resolved' if names else 'readable'} for {user}"
    verdict.cause = f"{', '.join(files)} cannot be read by {user}" if files else "root is served by another resolver"
    verdict.evidence.update(user=user, refused=names[:_SHOWN], unreadable=files)


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Compare the nodes' answers for names whose address nobody declared; name the odd ones."""
    every, declared, _ = _cluster(next(iter(intents.values())))
    names = [name for name in every if name not in declared]
    answers: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for node, got in seen.items():
        try:
            forward = _data(got)["forward"]
            # A node's own loopback line is judged by itself.
            mine = tuple(tuple(a for a in _addresses(forward, name) if not _loopback(a)) for name in names)
        except NotSeen:
            continue  # its own verdict says so
        answers.setdefault(mine, []).append(node)
    return [v for name, column in zip(names, zip(*answers))
            if (v := _odd(name, column, list(answers.values()), seen))]  # fmt: skip


def _odd(
    name: str, column: Sequence[tuple[str, ...]], nodes: Sequence[Sequence[str]], seen: Mapping[str, Seen]
) -> Verdict | None:
    """Return a verdict on the nodes that resolve a name unlike most; an empty answer was judged alone."""
    by: dict[tuple[str, ...], list[str]] = {}
    for addresses, which in zip(column, nodes):
        if addresses:
            by.setdefault(addresses, []).extend(which)
    if len(by) < 2:  # noqa: PLR2004 - alike
        return None
    usual = max(by, key=lambda addresses: len(by[addresses]))
    tie = sum(len(by[a]) == len(by[usual]) for a in by) > 1
    odd = [node for addresses, which in by.items() if tie or addresses != usual for node in which]
    first = next(addresses for addresses, which in by.items() if odd[0] in which)
    cause = _cause(seen[odd[0]], name, first, right=() if tie else usual)
    return Verdict(
        Status.FAIL, f"{name} is {', '.join(first)}", promised=f"{name} is the same everywhere", remedy="hosts_file",
        cause=cause + ("" if tie else f"; {len(by[usual])} others say {', '.join(usual)}"),
        evidence={"name": name, "answers": {", ".join(a): which[:_SHOWN] for a, which in by.items()}}, nodes=odd,
    )  # fmt: skip


def _data(seen: Seen) -> dict[str, Any]:
    data = seen["resolve"].need_data()
    if not isinstance(data, dict) or not all(isinstance(data.get(k), dict) for k in ("forward", "reverse")):
        raise NotSeen("what the resolver says has an unknown form")
    return data


def _addresses(answers: Mapping[str, Any], name: str) -> list[str]:
    found = answers.get(name)
    if not isinstance(found, list) or not all(isinstance(a, str) for a in found):
        raise NotSeen(f"{name}: the resolver did not answer")
    return found


def _loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _cause(seen: Seen, name: str, found: Sequence[str], *, right: Sequence[str] = ()) -> str:
    """Return the line that gives a name, or where it is missing; a line that is right is not to blame."""
    found = [address for address in found if address not in right] or found
    hosts, switch = seen["hosts"], seen["switch"]
    order = next((x.split()[1:] for x in switch.text.splitlines() if x.startswith("hosts:")), ["files"])
    if "files" not in order:
        return f"{SWITCH} does not name files under hosts, so {HOSTS} is not read"
    if hosts.why:
        return f"{HOSTS} could not be read ({hosts.why})"
    for number, line in enumerate(hosts.text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if name in words[1:] and (words[0] in found or not found):
            return f"{HOSTS} line {number} gives {words[0]} to {name}"
    if name in (seen["resolve"].data or {}).get("late", ()):
        return f"{HOSTS} has no line for {name}, and the name servers of /etc/resolv.conf do not answer in time"
    return f"DNS gives {', '.join(found)} to {name}" if found else f"{HOSTS} has no line for {name}, and DNS no answer"
