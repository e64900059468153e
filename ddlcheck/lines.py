"""One line on success, one line for each trouble: for logs, prologs and people in a hurry."""

from __future__ import annotations

from ddlcheck.verdict import EXIT_READY, VERBS, Status, exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddlcheck.verdict import Verdict


#: What the remedies that are not roles mean.
SAYS = {
    "inspect": "by hand: look at what the cause names",
    "inventory": "correct the inventory or what it points to",
    "reconnect": "log in anew, so that new limits apply",
    "reboot": "reboot the node",
    "wait": "run it again",
}


def remedy_words(remedy: str) -> str:
    """Return a remedy in words."""
    return SAYS[remedy] if remedy in VERBS else f"role {remedy}"


def render(node: str, verdicts: Sequence[Verdict], seconds: float, *, verbose: bool = False) -> str:
    """Return the lines, worst first."""
    out = []
    for v in sorted(verdicts, key=lambda v: -v.status):
        if v.status in (Status.PASS, Status.SKIP) and not verbose:
            continue
        parts = [f"seen {v.seen}", *([f"promised {v.promised}"] if v.promised else [])]
        parts += [f"cause: {v.cause}"] if v.cause else []
        parts += [f"remedy: {remedy_words(v.remedy)}"] if v.remedy else []
        out.append(f"{v.status.name} {node} {v.promise}: {'; '.join(parts)}")
    status = exit_status(verdicts)
    kept = [v.promise for v in verdicts if v.status is Status.PASS]
    if status == EXIT_READY:
        out.append(f"READY {node}: {', '.join(kept)} ({seconds * 1000:.0f} ms)")
    elif not out:
        why = "; ".join(f"{v.promise}: {v.seen}" for v in verdicts) or "no promise was looked at"
        out.append(f"UNKNOWN {node}: nothing was judged ({why})")
    return "".join(f"{clean(line)}\n" for line in out)


#: Control characters, and those that turn the direction of writing.
_NOISE = dict.fromkeys([*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)], " ")


def clean(text: str) -> str:
    """Return what a node said on one line, without control characters: it may not drive the terminal."""
    return " ".join(text.translate(_NOISE).split())
