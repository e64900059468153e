"""Judging a rank file that is there: pure, text in and verdicts out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl.hosts import short
from ddlcheck.ddl.rankfile import Machine
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The name these verdicts bear; the remedy is to write the file anew, which is the inventory's business.
PROMISE = "rankfile"

_LINE = re.compile(r"rank\s+([0-9]{1,7})\s*=\s*(\S+)\s+slots?\s*=\s*(\S+)", re.IGNORECASE)
_PART = re.compile(r"p?(?:([0-9]{1,5}|\*):)?([0-9]{1,5}(?:-[0-9]{1,5})?|\*)")


class Entry(NamedTuple):
    """One line: ``cores`` are (socket or None for the whole host, core); empty means all of them."""

    line: int
    rank: int
    host: str
    slot: str
    cores: frozenset[tuple[int | None, int]]


class RankFile(NamedTuple):
    """What a rank file says; ``unread`` are (line number, text) of lines that say nothing Open MPI knows."""

    entries: tuple[Entry, ...]
    unread: tuple[tuple[int, str], ...]
    claims: dict[str, str]


def parse(text: str) -> RankFile:
    """Read a rank file; never raises, since a broken line is what the judge is for."""
    entries, unread, claims = [], [], {}
    for number, raw in enumerate(text.splitlines(), 1):
        claim = re.match(r"#\s*(\w+)\s*=\s*(.+)", raw)
        if claim:
            claims[claim[1]] = claim[2].strip()
        line = re.split(r"#|//", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        match = _LINE.fullmatch(line)
        cores = _cores(match[3]) if match else None
        if match is None or cores is None:
            unread.append((number, line[:80]))
        else:
            entries.append(Entry(number, int(match[1]), match[2], match[3], cores))
    return RankFile(tuple(entries), tuple(unread), claims)


def _cores(slot: str) -> frozenset[tuple[int | None, int]] | None:
    """Read ``0:0-3``, ``0:0,1``, ``1:0;0:3``, ``4-7``, ``0:*``; None when it is none of these."""
    out: set[tuple[int | None, int]] = set()
    socket: int | None = None
    # Physical numbers (p3) cannot be compared with counts; Open MPI 5 reads over them.
    whole = "*" in slot or "p" in slot
    for part in re.split("[,;]", slot):
        match = _PART.fullmatch(part)
        if not match:
            return None
        if whole:
            continue
        if match[1]:
            socket = int(match[1])
        first, _, last = match[2].partition("-")
        if int(last or first) < int(first):
            return None
        out |= {(socket, core) for core in range(int(first), int(last or first) + 1)}
    return frozenset(out)


def claimed(file: RankFile) -> Machine | None:
    """Return the machine that the file's own comment claims, as ``rank_gen.py`` and we write it."""
    sockets, cores = (file.claims.get(name, "") for name in ("sockets", "cores"))
    if re.fullmatch(r"[1-9][0-9]{0,3}", sockets) and re.fullmatch(r"[1-9][0-9]{0,4}", cores):
        return Machine((int(cores),) * int(sockets))
    return None


def judge(
    file: RankFile,
    allocated: Mapping[str, int],
    machines: Mapping[str, Machine] | None = None,
    source: str = "the host list",
) -> list[Verdict]:
    """Judge lines, ranks, hosts, slots and cores; ``allocated`` is the hosts' slots (0: not told).

    ``machines`` is what is known of each host; without it the cores are not judged, and that is said.
    """
    verdicts = [_lines(file), _ranks(file), _hosts(file, allocated, source), _slots(file, allocated, source)]
    verdicts += [_shared(file), _cores_exist(file, allocated, machines)]
    return verdicts


def _fail(seen: str, promised: str, cause: str, nodes: Iterable[str] = (), **evidence: object) -> Verdict:
    return Verdict(
        Status.FAIL, seen, promised=promised, cause=cause, remedy="inventory",
        promise=PROMISE, nodes=nodes, evidence=evidence,
    )  # fmt: skip


def _pass(seen: str) -> Verdict:
    return Verdict(Status.PASS, seen, promise=PROMISE)


def _lines(file: RankFile) -> Verdict:
    if file.unread:
        number, text = file.unread[0]
        return _fail(
            f"line {number}: {text}", "rank N=HOST slot=SOCKET:CORES on each line",
            "Open MPI refuses the whole file for one line it cannot read", unread=[list(one) for one in file.unread],
        )  # fmt: skip
    if not file.entries:
        return _fail("no rank at all", "a line for each rank", "the file is empty or holds only comments")
    return _pass(f"{len(file.entries)} ranks on {len({one.host for one in file.entries})} hosts")


def _ranks(file: RankFile) -> Verdict:
    ranks = [one.rank for one in file.entries]
    twice = sorted({rank for rank in ranks if ranks.count(rank) > 1}) if len(set(ranks)) < len(ranks) else []
    # The job's size is not in the file: its highest rank says what it was meant to be.
    missing = sorted(set(range(max(ranks, default=-1) + 1)) - set(ranks)) if max(ranks, default=0) < 10**6 else []
    if twice:
        return _fail(
            f"rank {_some(twice)} stands twice", "each rank once",
            "Open MPI stops at a rank that is already assigned", duplicate=twice,
        )  # fmt: skip
    if missing:
        return _fail(
            f"rank {_some(missing)} is missing", f"ranks 0 to {max(ranks)}",
            "a rank without a line has no location, and the job does not start", missing=missing,
        )  # fmt: skip
    return _pass(f"ranks 0 to {max(ranks, default=0)}, each once")


def _some(items: Iterable[object]) -> str:
    words = [str(item) for item in items]
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")  # noqa: PLR2004


def relative(file: RankFile, manager: str) -> Verdict | None:
    """Judge relative names (+n0) for Open MPI 4, which knows them only where a resource manager gave the hosts."""
    names = [one.host for one in file.entries if re.match(r"\+[nN]", one.host)]
    if manager or not names:
        return None
    return _fail(
        f"host {_some(dict.fromkeys(names))}", "names of hosts",
        "Open MPI 4 knows relative names only inside a resource manager's job, not from a host file",
        relative=list(dict.fromkeys(names)),
    )  # fmt: skip


def _named(host: str, allocated: Mapping[str, int]) -> str:
    """Return what the allocation calls the host, as `orterun` and `prte` match it, or an empty string."""
    if host in allocated:
        return host
    relative = re.fullmatch(r"\+[nN]([0-9]{1,6})", host)
    if relative:
        return dict(enumerate(allocated)).get(int(relative[1]), "")
    return ""


def _hosts(file: RankFile, allocated: Mapping[str, int], source: str) -> Verdict:
    used = dict.fromkeys(one.host for one in file.entries)
    strange = [host for host in used if not _named(host, allocated)]
    if not strange:
        idle = [host for host in allocated if host not in {_named(host, allocated) for host in used}]
        if idle:
            return Verdict(
                Status.WARN, f"{_some(idle)} gets no rank", promised=f"every host of {source} works",
                cause="the file was made for fewer hosts", remedy="inventory", promise=PROMISE,
                nodes=idle, evidence={"idle": idle},
            )  # fmt: skip
        return _pass(f"every host is one of {source}")
    by_short = {short(name).lower(): name for name in allocated}
    meant = {host: by_short[short(host).lower()] for host in strange if short(host).lower() in by_short}
    if all(_only_domain(host, meant.get(host, "")) for host in strange):
        return Verdict(
            Status.WARN, f"host {_some(strange)}", promised=f"the names of {source}: {_some(meant.values())}",
            cause="Open MPI strips the domain unless it is told to keep it, so that this works by chance",
            remedy="inventory", promise=PROMISE, nodes=strange, evidence={"strange": strange, "meant": meant},
        )  # fmt: skip
    cause = (
        f"the allocation calls it {next(iter(meant.values()))}, and Open MPI compares names, not addresses"
        if meant
        else "Open MPI compares names, not addresses: a host name that is not the allocation's is a host not allocated"
    )
    return _fail(
        f"host {_some(strange)}", f"the names of {source}: {_some(allocated)}", cause, strange,
        strange=strange, meant=meant,
    )  # fmt: skip


def _only_domain(host: str, name: str) -> bool:
    """Whether one of the names is the other without its domain, and nothing else."""
    return host != name and short(host) == short(name) and ("." in host) != ("." in name)


def _slots(file: RankFile, allocated: Mapping[str, int], source: str) -> Verdict:
    ranks: dict[str, int] = {}
    for one in file.entries:
        name = _named(one.host, allocated)
        ranks[name] = ranks.get(name, 0) + 1
    over = [name for name, slots in allocated.items() if slots and ranks.get(name, 0) > slots]
    if over:
        name = over[0]
        return _fail(
            f"{ranks[name]} ranks on {name}", f"{allocated[name]} slots, says {source}",
            "a host that gets more ranks than slots is refused as oversubscribed", over,
            ranks={name: ranks[name] for name in over},
        )  # fmt: skip
    if not any(allocated.values()):
        return Verdict(Status.SKIP, f"{source} does not say how many slots a host has", promise=PROMISE)
    return _pass("no host gets more ranks than slots")


def _shared(file: RankFile) -> Verdict:
    owner: dict[tuple[str, int | None, int], int] = {}
    for one in file.entries:
        for socket, core in one.cores:
            other = owner.setdefault((one.host, socket, core), one.rank)
            if other != one.rank:
                where = f"core {core}" if socket is None else f"socket {socket} core {core}"
                return _fail(
                    f"ranks {other} and {one.rank} both get {where} of {one.host}", "each core for one rank",
                    "two ranks on one core run at half speed, or Open MPI refuses the binding", [one.host],
                    ranks=[other, one.rank], line=one.line,
                )  # fmt: skip
    return _pass("no core is given twice")


def _cores_exist(file: RankFile, allocated: Mapping[str, int], machines: Mapping[str, Machine] | None) -> Verdict:
    known = machines or {}
    if not known:
        return Verdict(
            Status.SKIP, "cores were not compared: nothing says how many there are (--sockets, --cores, --detect)",
            promise=PROMISE,
        )  # fmt: skip
    # A host that is not allocated has failed for that already; how many cores it has does not matter.
    named = [(one, _named(one.host, allocated)) for one in file.entries]
    unknown = list(dict.fromkeys(host for _, host in named if host and host not in known))
    for one, host in named:
        if host not in known:
            continue
        have = known[host].cores
        for socket, core in sorted(one.cores, key=str):
            inside = core < sum(have) if socket is None else socket < len(have) and core < have[socket]
            if not inside:
                return _fail(
                    f"line {one.line}: rank {one.rank} slot={one.slot}",
                    f"{len(have)} sockets of {', '.join(str(count) for count in have)} cores on {one.host}",
                    "the file was made for another machine: rank_gen.py takes 2 sockets of 10 cores for granted",
                    [one.host], rank=one.rank, slot=one.slot, cores=list(have),
                )  # fmt: skip
    if unknown:
        return Verdict(
            Status.UNKNOWN, f"the cores of {_some(unknown)} are not known", promised="every core exists",
            cause="nothing says how many the host has", remedy="inspect",
            promise=PROMISE, nodes=unknown,
        )  # fmt: skip
    return _pass("every core exists")


def dry_run(said: tuple[int, str] | None, *, here_is_a_host: bool) -> Verdict:
    """Judge what Open MPI 5 said of the file: exit status and text, or None when it did not answer.

    It compares cores with those of the launching host, which says something only where that is a host too.
    """
    if said is None:
        return Verdict(Status.UNKNOWN, "mpirun did not answer", promised="a map", promise=PROMISE,
                       cause="Open MPI's own dry run did not end in time", remedy="inspect")  # fmt: skip
    code, text = said
    if code == 0:
        return _pass("Open MPI's own dry run maps every rank")
    # Open MPI's sentence is the same for all; which host or slot it means stands on a line of its own.
    which = re.search(r"^\s*((?:Host|Slots|Rank):\s*\S+)", text, re.MULTILINE)
    words = which[1] if which else " ".join(text.replace("-" * 74, "").split())[:300]
    if "non-existent CPU" in text and not here_is_a_host:
        return Verdict(Status.SKIP, "Open MPI's dry run looks at this machine's cores, and it is not one of the hosts",
                       promise=PROMISE)  # fmt: skip
    refused = "rankfile" in text or "Rank file" in text
    return Verdict(
        Status.FAIL if refused else Status.UNKNOWN, words, promised="a map of every rank",
        cause="Open MPI's own dry run refuses the file", remedy="inventory" if refused else "inspect",
        promise=PROMISE, evidence={"rc": code},
    )  # fmt: skip
