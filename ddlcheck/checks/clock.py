"""The nodes' clocks agree, and a daemon on each keeps them so.

A clock was read between two moments of ours, so an offset is an interval: only what an interval proves is said.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import now, read_all, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer, Wants

DAEMONS = ("chrony.service", "chronyd.service", "ntpsec.service", "ntp.service", "ntpd.service",
           "systemd-timesyncd.service")  # fmt: skip
TIMESYNC = "/run/systemd/timesync/synchronized"
_POLLS = range(-7, 25)  # what minpoll and maxpoll may be
_LEAP, _FIELDS = 13, 14  # `chronyc -c tracking`: fourteen fields, the last says whether it is synchronised
_LAST, _NTP = 1e11, ":007B "  # seconds: the year 5138; port 123, as /proc/net/udp writes it


def wants(intent: Intent) -> Wants:  # noqa: ARG001 - the Protocol's
    """Ask for the time, and the daemon for what it follows."""
    return {
        "now": now(),
        "active": run("systemctl", "is-active", "--", *DAEMONS),
        "tracking": run("chronyc", "-c", "tracking"),
        "sources": run("chronyc", "-N", "-c", "sources"),
        "files": read_all(TIMESYNC, "/proc/net/udp", "/proc/net/udp6"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge the daemon; the clock itself can only be compared."""
    low, high = _interval(seen["now"])
    running = _running(seen["active"])
    files = seen["files"].data if isinstance(seen["files"].data, dict) else {}
    servers = [str(server) for server in intent["clock_servers"]]
    chrony = any(unit.startswith("chrony") for unit in running)
    synchronised, sources = _synchronised(seen, running, files), _sources(seen["sources"])
    serving = any(_NTP in str(files.get(f"/proc/net/{name}", "")) for name in ("udp", "udp6"))
    verdict = Verdict(
        Status.FAIL, ", ".join(running) or "no daemon", promised="a daemon that keeps the time", remedy="clock",
        evidence={"daemons": running, "synchronised": synchronised, "sources": sources, "serves": serving,
                  "offset_s": [round(low, 3), round(high, 3)]},
        declared={"servers": servers, "serve": intent["clock_serve"], "adjust": intent["clock_adjust"]},
    )  # fmt: skip
    # A clock that is the host's follows the host, unless servers were declared all the same.
    must, most = bool(intent["clock_adjust"] or servers), float(intent["clock_max_spread"])
    missing = [server for server in servers if sources is not None and server not in sources]
    if not running:
        verdict.cause = "no time daemon is active: chronyd is stopped or not installed"
    elif chrony and missing:
        verdict.seen = f"follows {', '.join(sources or []) or 'nobody'}"
        verdict.cause = f"chronyd was not told of {missing[0]}"
    elif intent["clock_serve"] and not serving:
        verdict.seen, verdict.cause = "serves nobody", "nothing listens on UDP port 123: chronyd has no `allow`"
    elif chrony and synchronised is None and must:
        raise NotSeen(f"chronyc tracking: {seen['tracking'].why or seen['tracking'].err or 'an unknown form'}"[:200])
    elif chrony and synchronised is False and must and (answered := _answered(seen["sources"], most)):
        # chronyd forgets its servers when the machine was paused, and chooses anew after three answers of one.
        verdict.status, verdict.remedy = Status.WARN, "wait"
        verdict.seen = f"{running[0]} is choosing a server again"
        verdict.cause = f"{answered}: chronyd started, or the machine was paused"
    elif synchronised is False and must:
        verdict.seen = f"{running[0]} is not synchronised"
        verdict.cause = f"{running[0]} reaches no server: {', '.join(sources or servers) or 'it has none'}"
    else:
        verdict.status, verdict.remedy = Status.PASS, ""
        state = {True: "synchronised", False: "not to adjust this clock", None: "does not say more"}[synchronised]
        verdict.seen = f"{running[0]}, {state}"
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Compare the clocks; name those that are off the median."""
    offsets = {}
    for node, answers in seen.items():
        try:
            offsets[node] = _interval(answers["now"])
        except NotSeen:
            continue  # its own verdict says so
    if len(offsets) < 2:  # noqa: PLR2004 - nothing to compare
        return []
    most = min(float(intents[node]["clock_max_spread"]) for node in offsets)
    lows, highs = [low for low, _ in offsets.values()], [high for _, high in offsets.values()]
    surely, possibly = max(lows) - min(highs), max(highs) - min(lows)
    middles = {node: (low + high) / 2 for node, (low, high) in offsets.items()}
    median = sorted(middles.values())[len(middles) // 2]
    verdict = Verdict(
        Status.PASS, f"at most {possibly:.2g} s apart", promised=f"at most {most:g} s apart", nodes=list(offsets),
        evidence={"surely_s": round(max(surely, 0.0), 3), "possibly_s": round(possibly, 3)},
        declared={"max_spread": most},
    )  # fmt: skip
    if surely > most:
        far = sorted(offsets, key=lambda node: -abs(middles[node] - median))
        odd = [node for node in far if abs(middles[node] - median) > most] or far[:1]
        odd = odd if len(offsets) > 2 else list(offsets)  # noqa: PLR2004 - of two, neither is the odd one
        verdict.status, verdict.remedy, verdict.nodes = Status.FAIL, "clock", tuple(odd)
        verdict.seen = f"{surely:.3g} s apart"
        verdict.cause = f"the clock of {' and '.join(odd[:3])} is off the median of the nodes (chronyc tracking)"
        verdict.evidence["offsets_s"] = {node: round(middles[node] - median, 3) for node in far[:20]}
    elif possibly > most and not 0 <= (daemons := _bound(seen, offsets)) <= most:
        wide = max(offsets, key=lambda node: offsets[node][1] - offsets[node][0])
        verdict.status, verdict.remedy = Status.WARN, "wait"
        verdict.seen = f"between {max(surely, 0.0):.2g} and {possibly:.2g} s apart"
        verdict.cause = f"{wide} took too long to answer for a closer look: ask again, with fewer --forks"
        verdict.evidence["slowest"] = wide
    elif possibly > most:  # too slow an answer to tell by, but the daemons can
        verdict.seen = f"at most {daemons:.2g} s apart, say the daemons"
        verdict.evidence["daemons_s"] = round(daemons, 6)
    return [verdict]


def _bound(seen: Mapping[str, Seen], nodes: Iterable[str]) -> float:
    """Return how far apart two clocks can be by what chronyd says of each; below 0 when one says nothing."""
    errors = []
    for node in nodes:
        fields = seen[node]["tracking"].text.strip().split(",")
        try:
            offset, delay, dispersion = (abs(float(fields[i])) for i in (4, 10, 11))
        except (ValueError, IndexError):
            return -1.0
        error = offset + delay / 2 + dispersion
        errors.append(error if error < _LAST and fields[_LEAP:] == ["Normal"] else _LAST)  # NaN is not below
    return 2 * max(errors)


def _interval(got: Answer) -> tuple[float, float]:
    """Return the least and the most that a node's clock can be ahead of ours, in seconds."""
    data = got.need_data()
    values = [data.get(name) for name in ("node", "after", "before")] if isinstance(data, dict) else []
    times = [float(v) for v in values if isinstance(v, (int, float)) and abs(v) < _LAST]
    if len(times) != 3:  # noqa: PLR2004 - no comparison holds for NaN
        raise NotSeen("the node did not say what time it is")
    node, after, before = times
    if before < after:
        raise NotSeen("the clock of the asking machine went backwards")
    return node - before, node - after


def _running(got: Answer) -> list[str]:
    if got.why == "missing":
        raise NotSeen("no systemd to ask which daemon keeps the time")
    states = got.need(rc=None).split()
    if len(states) != len(DAEMONS):
        raise NotSeen(f"systemctl is-active: {(got.err or got.text).strip()[:100]}")
    return [unit for unit, state in zip(DAEMONS, states) if state == "active"]


def _synchronised(seen: Seen, running: Sequence[str], files: Mapping[str, object]) -> bool | None:
    """Whether the daemon that runs follows something; None when it does not say."""
    fields = seen["tracking"].text.strip().split(",")
    if any(unit.startswith("chrony") for unit in running):
        said = not seen["tracking"].why and len(fields) == _FIELDS
        return fields[_LEAP] in ("Normal", "Insert second", "Delete second") if said else None
    return TIMESYNC in files if "systemd-timesyncd.service" in running else None


def _answered(got: Answer, most: float) -> str:
    """Say which server's last answer, no older than two of its intervals, proves the clock to be right.

    Of a line of `chronyc -c sources` are read: 1 state (`?`: not yet to be chosen), 2 name, 4 seconds between
    questions (log2), 5 the last eight answers (octal, the newest is bit 0), 6 age of the last, 7 offset, 9 bound of
    its error, both in seconds.
    """
    for line in got.text.splitlines() if not got.why and not got.rc else ():
        fields = line.split(",")
        try:
            name, poll, reach, age = fields[2], int(fields[4]), int(fields[5], 8), int(fields[6])
            off = abs(float(fields[7])) + abs(float(fields[9]))
        except (ValueError, IndexError):
            continue
        if fields[1] == "?" and reach & 1 and poll in _POLLS and 0 <= age <= 2 * 2.0**poll and off <= most:
            return f"{name} answered {age} s ago, {float(fields[7]):+.2g} s from this clock"
    return ""


def _sources(got: Answer) -> list[str] | None:
    if got.why or got.rc:
        return None
    return [line.split(",")[2] for line in got.text.splitlines() if line.count(",") > 2][:64]  # noqa: PLR2004
