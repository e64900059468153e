"""How a locked-memory limit comes about: limits.d, PAM, sshd and systemd, read as text to say why one is low.

pam_limits reads limits.conf, then limits.d in C-locale order. A rule for a user beats one for a group, which
beats ``*``; among equals the later wins; ``*`` does not apply to root (limits.conf(5), pam_limits.c).
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any


class Rule:
    """One line on memlock in one of pam_limits' files; ``kind`` is soft, hard, or - for both.

    A plain class: importing what NamedTuple needs costs more than the node gate may take.
    """

    __slots__ = ("domain", "kind", "line", "path", "value")

    def __init__(self, path: str, line: int, domain: str, kind: str, value: str) -> None:
        self.path, self.line, self.domain, self.kind, self.value = path, line, domain, kind, value


UNLIMITED = float("inf")
CAP_SYS_RESOURCE = 24
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DIGITS = 18  # what a kernel prints; more is not a limit


def kib(word: str) -> float:
    """Return a limit as `shown` gives it as a number of KiB."""
    return UNLIMITED if word == "unlimited" else float(word)


def shown(word: object) -> str:
    """Return a limit as ``ulimit`` prints it; raise `NotSeen` when it is none."""
    text = str(word).strip()
    if text != "unlimited" and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise NotSeen(f"{text[:40]!r} is not a limit")
    return text


def unit_of(text: str) -> str:
    """Return a limit with its unit."""
    return text if text == "unlimited" else f"{text} KiB"


def files_of(data: object) -> dict[str, str]:
    """Return ``{path: text}`` in C-locale order; empty when it could not be read, for it only explains."""
    return {str(path): str(data[path]) for path in sorted(data, key=str)} if isinstance(data, dict) else {}


def lines_of(files: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """Yield (path, line number, line) of what is not a comment."""
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].strip()
            if words:
                yield path, number, words


def rules(files: Mapping[str, str]) -> list[Rule]:
    """Return pam_limits' rules on memlock, in the order in which it reads them."""
    out = []
    ordered = {path: files[path] for path in sorted(files, key=lambda path: ("limits.d/" in path, path))}
    for path, number, line in lines_of(ordered):
        words = line.split()
        if len(words) == 4 and words[2] == "memlock" and words[1] in ("-", "soft", "hard"):  # noqa: PLR2004
            value = "unlimited" if words[3] in ("unlimited", "infinity", "-1") else words[3]
            out.append(Rule(path, number, words[0], words[1], value))
    return out


def effective(found: Sequence[Rule], user: str, kind: str) -> Rule | None:
    """Return the rule that decides the soft or hard limit of a user whose groups are not known."""
    mine = [rule for rule in found if rule.kind in ("-", kind)]
    own = [rule for rule in mine if rule.domain == user]
    # Neither groups nor `*` are root's; whose groups these are is not known here.
    all_ = [rule for rule in mine if rule.domain == "*" and user != "root"]
    return next(reversed(own or all_), None)


def _pam_limits(files: Mapping[str, str], service: str, depth: int = 0) -> bool:
    """Whether a PAM service loads pam_limits for its sessions, itself or by what it includes."""
    text = files.get(f"/etc/pam.d/{service}", "")
    for _, _, line in lines_of({service: text}):
        words = line.split()
        if words[0].lstrip("-") == "session" and any("pam_limits.so" in word for word in words):
            return True
        other = words[1] if words[0] == "@include" else ""
        if words[0].lstrip("-") == "session" and words[1:2] in (["include"], ["substack"]):
            other = words[2] if len(words) > 2 else ""  # noqa: PLR2004
        if other and depth < 8 and _pam_limits(files, other, depth + 1):  # noqa: PLR2004 - a loop ends somewhere
            return True
    return False


def _use_pam(files: Mapping[str, str]) -> str:
    """Return the file that says ``UsePAM no``; the first word on it wins, and drop-ins are included first."""
    for path in sorted(files, key=lambda path: (path.endswith("/sshd_config"), path)):
        for _, _, line in lines_of({path: files[path]}):
            words = line.replace("=", " ").lower().split()
            if words[0] == "match":
                break
            if words[0] == "usepam":
                return path if words[1:] == ["no"] else ""
    return ""


def systemd_kib(value: str) -> float | None:
    """Return the soft limit that a unit file sets, in KiB: ``64K``, ``1M:2M``, ``infinity``."""
    word = value.partition(":")[0].strip().strip('"')
    if word == "infinity":
        return UNLIMITED
    number, unit = (word[:-1], word[-1].upper()) if word[-1:].isalpha() else (word, "")
    if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS and unit in _BYTES):
        return None
    return int(number) * _BYTES[unit] / 1024


def unit_setting(files: Mapping[str, str], unit: str) -> tuple[str, float] | None:
    """Return (file, KiB) of what limits a unit: its last drop-in, or else the manager's default."""
    found = None
    for key, part in (("DefaultLimitMEMLOCK", "/system.conf"), ("LimitMEMLOCK", f"/{unit}.d/")):
        for path in sorted((p for p in files if part in p), key=lambda p: (".d/" in p, p)):
            for _, _, line in lines_of({path: files[path]}):
                name, _, value = line.partition("=")
                limit = systemd_kib(value) if name.strip() == key else None
                found = found if limit is None else (path, limit)
    return found


def explain(
    low: Sequence[str],
    found: Mapping[str, tuple[str, str]],
    files: Mapping[str, Any],
    *,
    least: float,
    user: str,
    job_user: str,
    status: str,
) -> tuple[str, str]:
    """Return (cause, remedy) of limits that are too low: who has them, and what was found in the files.

    ``status`` is /proc/1/status of the node: a machine whose first process cannot raise a limit, cannot.
    """
    text = {name: files_of(data) for name, data in files.items()}
    words = next((x.split() for x in status.splitlines() if x.startswith("CapBnd:")), [])
    able = not _hex(words[-1:]) or bool(int(words[-1], 16) >> CAP_SYS_RESOURCE & 1)
    able = able or any(kib(hard) >= least for _, hard in found.values())  # one has it: this is not why
    daemons = [name for name in low if name.endswith(".service")]
    shells = [name for name in low if name in ("ssh session", "login shell")]
    if shells:
        who, service = (user, "sshd") if shells[0] == "ssh session" else (job_user, "su")
        cause = _why_shell(service, who, found[shells[0]], text, least)
        if cause:
            return cause, "memlock"
    if shells == ["login shell"] and "ssh session" in found:
        return f"a profile of {job_user} (~/.profile, ~/.bash_profile, /etc/profile.d) lowers it", "inspect"
    if daemons:
        return _why_daemon(daemons[0], text["units"], least, able=able)
    if shells and not able:
        return "the machine cannot raise its hard limit (no CAP_SYS_RESOURCE: a container)", "inspect"
    if shells:
        return "the session is older than the files: a kept connection (ControlMaster) has its old limit", "reconnect"
    handed = "whoever started this process handed down its own limit: a job's ulimit, which Slurm propagates"
    older = "the daemon that starts ranks has an older limit than a fresh session: restart it"
    return (handed, "reconnect") if low == ["this process"] else (older, "memlock")


def _hex(words: Sequence[str]) -> bool:
    return bool(words) and len(words[0]) <= 16 and all(x in "0123456789abcdefABCDEF" for x in words[0])  # noqa: PLR2004


def _why_shell(
    service: str, user: str, got: tuple[str, str], text: Mapping[str, Mapping[str, str]], least: float
) -> str:
    """Return why a session's limit is low, as far as the files say; empty when they promise enough."""
    path = _use_pam(text["sshd"]) if service == "sshd" else ""
    if path:
        return f"{path} says UsePAM no: no session gets the limits of limits.d"
    if text["pam"] and not _pam_limits(text["pam"], service):
        return f"pam_limits is missing in the session stack of /etc/pam.d/{service}"
    lines = rules(text["limits"])
    if not text["limits"]:
        return ""
    soft, hard = (effective(lines, user, kind) for kind in ("soft", "hard"))
    for rule, kind in ((soft, "soft"), (hard, "hard")):
        if rule and (not rule.value.isdigit() or kib(rule.value) < least) and rule.value != "unlimited":
            return f"{rule.path} line {rule.line} ({rule.domain} {rule.kind} memlock {rule.value}) decides for {user}"
        if rule is None:
            return _why_no_rule(lines, user, kind)
    group = next((r for r in lines if r.domain[:1] in ("@", "%") and r.value == got[0]), None)
    return f"{group.path} line {group.line} ({group.domain}) may decide for {user}" if group else ""


def _why_no_rule(lines: Sequence[Rule], user: str, kind: str) -> str:
    other = effective(lines, user, "hard" if kind == "soft" else "soft")
    if other:
        return f"{other.path} line {other.line} sets {other.kind} without {kind}"
    star = next((r for r in lines if r.domain == "*"), None)
    if user == "root" and star:
        return f"{star.path} line {star.line} is for `*`, which does not apply to root"
    return f"no file of limits.d sets memlock for {user}"


def _why_daemon(unit: str, files: Mapping[str, str], least: float, *, able: bool) -> tuple[str, str]:
    setting = unit_setting(files, unit)
    if setting is None:
        return f"no drop-in sets LimitMEMLOCK of {unit}", "memlock"
    path, limit = setting
    if limit < least:
        return f"{path} limits {unit} to {unit_of(str(int(limit)))}", "memlock"
    restart = f"{unit} runs with a limit older than {path}: restart it"
    return (restart, "memlock") if able else (f"{restart} (or this machine, a container, cannot raise it)", "memlock")
