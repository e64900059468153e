"""Whether one can work as the job user on a node: the user is there, with a home, a shell, and not expired."""

from __future__ import annotations

from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ddlcheck.wants import Answer, Want

#: The passwd entry, then a word for what is there of it.
SCRIPT = 'getent passwd "$(id -un)"; [ -d ~ ] && echo @home; [ -x "$SHELL" ] && echo @shell; echo @end'
CLOSED = ("false", "nologin", "true")
_FIELDS = 7


def want(user: str) -> Want:
    """Ask, as the user, for the entry, and whether its home and shell are there."""
    return run("sh", "-c", SCRIPT, user=user)


def absent(err: str) -> bool:
    """Whether a command did not run because there is no such user."""
    return "getpwnam" in err or ("user" in err and "does not exist" in err)


def no_home(got: Answer) -> str:
    """Return the sentence on a home directory that is not there; it keeps one from going out, too."""
    entry, found = _entry(got)
    return f"the home directory {entry[5]} of the job user is missing" if entry and "@home" not in found else ""


def no_shell(got: Answer) -> str:
    """Return the sentence on a shell that runs no command; nobody comes in."""
    entry, found = _entry(got)
    shell = entry[6] if entry else ""
    if shell.rpartition("/")[2] in CLOSED:
        return f"the job user's shell is {shell}: it runs no command"
    return f"the job user's shell {shell} is missing" if shell and "@shell" not in found else ""


def unseen(got: Answer, failed: Answer, user: str, node: str) -> Verdict | None:
    """Return the verdict on a session of the job user that failed for the account's sake; None if it did not."""
    if not failed.why and failed.rc in (0, None) and failed.text.strip():
        return None
    from ddlcheck.judging.edges import SSH_FAILED  # noqa: PLC0415 - only a failure needs it

    cause, remedy = no_shell(got) or no_home(got), "inspect"
    if absent(failed.err) or absent(got.err):
        cause, remedy = f"there is no user {user} on {node}", "inventory"
    elif "account has expired" in failed.err + failed.text:
        cause = f"the account of {user} has expired on {node}"
    elif "su: Authentication failure" in failed.err:
        cause = f"only root can open a session of {user} without a password: ask as root"
    elif not cause and failed.rc in range(SSH_FAILED) and not (failed.why or failed.text.strip() or failed.err.strip()):
        cause = f"the session ended before the command: a profile of {user} exits"
    if not cause:
        return None
    said = (failed.err or failed.text or "nothing").strip()[:200]
    return Verdict(Status.UNKNOWN, f"no session of {user}: {said}", cause=cause, remedy=remedy)


def _entry(got: Answer) -> tuple[list[str], list[str]]:
    """Return the fields of the passwd entry, and the words after it; empty unless all of it was said."""
    lines = got.text.splitlines()
    entry = lines[0].split(":") if lines else []
    whole = not got.why and len(entry) == _FIELDS and lines[-1] == "@end"
    return (entry, lines[1:]) if whole else ([], [])
