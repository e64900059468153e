"""Ranks may lock as much memory as RDMA has to pin.

The limit is asked of the processes that have it: a fresh ssh session, a login shell of the job user, the
daemons that start ranks, a rank. Files promise; they are read only to say why a process has less.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import account
from ddlcheck.judging.limits import explain, kib, shown, unit_of
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import proc, rank, read, read_all, run, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer, Wants

#: The daemons' limits are read from /proc at once; the login shell's comes from the background tier.
TIER = "gate"
LIMITS = ("/etc/security/limits.conf", "/etc/security/limits.d/*.conf")
PAM = tuple(f"/etc/pam.d/{name}" for name in (
    "sshd", "su", "su-l", "common-session", "common-session-noninteractive", "password-auth", "system-auth", "postlogin"
))  # fmt: skip
SSHD = ("/etc/ssh/sshd_config.d/*.conf", "/etc/ssh/sshd_config")


def wants(intent: Intent) -> Wants:
    """Ask the processes first; then what may explain them."""
    daemons = [f"{name}.service" for name in intent["memlock_daemons"]]
    drop_ins = [f"/etc/systemd/system/{unit}.d/*.conf" for unit in daemons]
    user = str(intent["ssh_mesh_user"])
    login = run("su", "-l", "-c", "ulimit -S -l; ulimit -H -l", "--", user) if user else None
    return {
        "session": session(), "daemons": proc(daemons, "limits"), "rank": rank(), "init": read("/proc/1/status"),
        "limits": read_all(*LIMITS), "pam": read_all(*PAM), "sshd": read_all(*SSHD),
        "units": read_all("/etc/systemd/system.conf", "/etc/systemd/system.conf.d/*.conf", *drop_ins),
        **({"login": login, "account": account.want(user)} if login else {}),
    }  # fmt: skip


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Compare every limit that was seen with the declared one; the lowest decides."""
    declared = str(intent["memlock_limit"])
    least = kib(declared)
    who, asker, soft, hard = _session(seen["session"])
    # The timer's service is started by nobody who starts ranks: its own limit is no rank's.
    found = {asker: (soft, hard)} if asker != "service" else {}
    unmeasured = {}
    if "login" in seen:
        user = str(intent["ssh_mesh_user"])
        gone = account.unseen(seen["account"], seen["login"], user, intent.node)
        if gone:
            return gone
        found["login shell"] = _pair(seen["login"].need())
    if seen["daemons"].why == "missing":
        unmeasured["daemons"] = "no systemd"
    else:
        found.update(_daemons(seen["daemons"].need_data()))
    ranked = seen["rank"].data if not seen["rank"].why else None
    if isinstance(ranked, dict):
        found["rank"] = (shown(ranked.get("memlock_soft")), shown(ranked.get("memlock_hard")))
    else:
        unmeasured["rank"] = f"not measured: {seen['rank'].err or seen['rank'].why or 'no answer'}"
    if not found:
        raise NotSeen("no process was seen whose limit could be judged")
    evidence: dict[str, Any] = {name: {"soft": s, "hard": h} for name, (s, h) in found.items()}
    evidence.update(unmeasured, user=who)
    low = [name for name, (s, _) in found.items() if kib(s) < least]
    verdict = Verdict(
        Status.PASS, _phrase(found, low), promised=unit_of(declared), evidence=evidence, declared={"limit": declared}
    )
    if low:
        verdict.status, verdict.evidence["low"] = Status.FAIL, low
        files = {name: seen[name].data for name in ("limits", "pam", "sshd", "units")}
        verdict.cause, verdict.remedy = explain(
            low, found, files, least=least, user=who, job_user=str(intent["ssh_mesh_user"]), status=seen["init"].text
        )
    return verdict


def _phrase(found: dict[str, tuple[str, str]], low: list[str]) -> str:
    """Return the lowest limit and who has it."""
    lowest = min((soft for soft, _ in found.values()), key=kib)
    return f"{unit_of(lowest)} ({', '.join(low)})" if low else unit_of(lowest)


def _pair(text: str) -> tuple[str, str]:
    """Return the soft and the hard limit that a shell printed last; what a profile prints comes before."""
    lines = text.split("\n")[:-1][-2:]
    if len(lines) != 2:  # noqa: PLR2004 - soft and hard
        raise NotSeen("the login shell printed no limits")
    return shown(lines[0]), shown(lines[1])


def _session(got: Answer) -> tuple[str, str, str, str]:
    """Return who asks, from what, and its soft and hard limit; the node gate asks from the process that started it."""
    data = got.need_data()
    if not isinstance(data, dict):
        raise NotSeen("the session's limits have an unknown form")
    asker = {"process": "this process", "service": "service"}.get(str(data.get("of")), "ssh session")
    return str(data.get("user", ""))[:64], asker, shown(data.get("soft")), shown(data.get("hard"))


def _daemons(data: Any) -> dict[str, tuple[str, str]]:  # noqa: ANN401 - JSON of a node
    """Return the limits of each daemon that runs, in KiB (/proc has bytes)."""
    if not isinstance(data, dict):
        raise NotSeen("the daemons' limits have an unknown form")
    out = {}
    for unit, text in data.items():
        line = next((x for x in str(text).splitlines() if x.startswith("Max locked memory")), "")
        words = [shown(word) for word in line.split()[3:5]]
        if len(words) != 2:  # noqa: PLR2004
            raise NotSeen(f"/proc has no locked-memory limit of {str(unit)[:60]}")
        soft, hard = (w if w == "unlimited" else str(int(w) // 1024) for w in words)
        out[str(unit)] = (soft, hard)
    return out
