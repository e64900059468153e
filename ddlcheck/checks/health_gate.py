"""The node's gate is installed, knows what is declared now, and has looked lately.

It cannot prove itself: this is judged from outside, by `ddlcheck cluster`.
"""

from __future__ import annotations

import json

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import EXIT_USAGE, Status, Verdict
from ddlcheck.wants import read, run, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer, Wants

NODE_LOCAL = False
LAUNCHER, INTENT = "/usr/local/sbin/ddlcheck-node", "/etc/ddlcheck/intent.json"
STATUS, TIMER = "/run/ddlcheck/status.json", "ddlcheck.timer"
UPTIME, BOOT = "/proc/uptime", "/proc/sys/kernel/random/boot_id"


def wants(intent: Intent) -> Wants:  # noqa: ARG001 - the Protocol's
    """Ask for the gate's files, its timer, and its last result."""
    return {
        "files": stat(LAUNCHER, INTENT), "intent": run("head", "-c", "400", INTENT), "status": read(STATUS),
        "timer": run("systemctl", "is-active", "--", TIMER), "uptime": read(UPTIME), "boot": read(BOOT),
    }  # fmt: skip


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Say what of the gate is missing, old, or of another intent."""
    files, timer = _files(seen["files"]), _active(seen["timer"])
    head = "" if files[INTENT] else seen["intent"].need()
    declared, kept = intent.digest(), _between(head, '"declared":"', '"')
    age, result = _age(seen)
    verdict = Verdict(
        Status.FAIL, "", promised="a gate that knows what is declared and looks every "
        f"{intent['health_gate_interval']} s", remedy="health_gate",
        evidence={"missing": [path for path, why in files.items() if why], "declared": kept, "timer": timer,
                  "age_s": None if age is None else round(age), "exit": result},
        declared={"declared": declared, "max_age": intent["health_gate_max_age"]},
    )  # fmt: skip
    missing = next((path for path, why in files.items() if why), "")
    most = float(intent["health_gate_max_age"])
    if missing:
        verdict.seen, verdict.cause = "no gate" if files[LAUNCHER] else "no intent", f"there is no {missing}"
    elif kept != declared:
        verdict.seen = "an intent that is not the declared one"
        verdict.cause = (
            f"{INTENT} is not of this inventory as it is now: it was changed, or the role was not applied since"
        )
    elif timer != "active":
        verdict.seen, verdict.cause = f"{TIMER} is {timer}", f"{TIMER} is stopped: nobody runs the slow probes"
    elif age is None:
        verdict.seen, verdict.cause = (
            "no result since the last boot",
            f"ddlcheck.service has not run: there is no fresh {STATUS}",
        )
    elif age > most:
        verdict.seen = f"the last result is {age:.0f} s old"
        verdict.cause = f"ddlcheck.service hangs or fails: {STATUS} is older than {most:.0f} s"
    elif result == EXIT_USAGE:
        verdict.seen, verdict.cause = "the gate refuses its intent", f"{INTENT} cannot be used: ddlcheck-node says why"
    else:
        verdict.status, verdict.remedy = Status.PASS, ""
        verdict.seen = f"looked {age:.0f} s ago: exit status {result}"
    return verdict


def _files(got: Answer) -> dict[str, str]:
    """Return why each file is not there; empty words for those that are."""
    data = got.need_data()
    if not isinstance(data, dict) or not all(isinstance(data.get(path), dict) for path in (LAUNCHER, INTENT)):
        raise NotSeen("the gate's files have an unknown form")
    out = {path: str(data[path].get("why", "")) for path in (LAUNCHER, INTENT)}
    odd = next((why for why in out.values() if why not in ("", "missing")), "")
    if odd:
        raise NotSeen(f"the gate's files cannot be looked at: {odd}")
    return out


def _active(got: Answer) -> str:
    if got.why == "missing":
        raise NotSeen("no systemd to ask for the timer")
    return got.need(rc=None).strip()[:40] or "unknown"


def _between(text: str, begin: str, end: str) -> str:
    return text.partition(begin)[2].partition(end)[0]


def _age(seen: Seen) -> tuple[float | None, Any]:
    """Return how old the last result is, in seconds of the node's own clock since its boot, and its exit status."""
    if seen["status"].why == "missing":
        return None, None
    try:
        kept = json.loads(seen["status"].need())
        passed = float(seen["uptime"].need().split()[0]) - float(kept["since_boot"])
        same = str(kept["boot"]) == seen["boot"].need().strip()
        result = kept["exit"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as exc:
        raise NotSeen(f"{STATUS} has an unknown form: {type(exc).__name__}") from exc
    if not isinstance(result, int) or not -60 <= passed < float("inf"):  # noqa: PLR2004 - it is written while we look
        raise NotSeen(f"{STATUS} has an unknown form")
    return (max(passed, 0.0) if same else None), result
