"""From a role's name to its application: the only place that runs Ansible."""

from __future__ import annotations

import pathlib
import shlex
import sys
import tempfile
from typing import TYPE_CHECKING

from ddlcheck import declared
from ddlcheck.errors import DdlcheckError
from ddlcheck.verdict import VERBS, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ddlcheck.verdict import Verdict


def roles_for(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the roles that failures name, each once, in the order in which site.yml applies them."""
    named = {v.remedy for v in verdicts if v.status is Status.FAIL and v.remedy and v.remedy not in VERBS}
    text = (declared.tree() / "playbooks" / "provision.yml").read_text(encoding="utf-8")
    return sorted(named, key=lambda role: (text.find(f"role: {role}"), role))


def command(inventory: str, roles: Sequence[str] = (), limit: str = "") -> str:
    """Return what a user would type for the same."""
    words = ["ansible-playbook", "-i", inventory, "site.yml"]
    words += ["--tags", ",".join(roles)] if roles else []
    words += ["--limit", limit] if limit else []
    return shlex.join(words)


def apply(
    inventory: str, roles: Sequence[str] = (), *, limit: str = "", extra: Sequence[str] = (), quiet: bool = False
) -> None:
    """Apply these roles (all of site.yml when none is named); raise `DdlcheckError` when Ansible fails.

    Ansible's own output goes to stdout as it comes, but for what was right already; nothing when ``quiet``.
    """
    import ansible_runner  # noqa: PLC0415 - 80 ms, and only this needs it

    tree = declared.tree()
    words = ["--inventory", _absolute(inventory), str(tree / "site.yml")]
    words += ["--tags", ",".join(roles)] if roles else []
    words += ["--limit", limit] if limit else []
    # The one beside our own interpreter: PATH may hold another Ansible, or none.
    beside = pathlib.Path(sys.executable).with_name("ansible-playbook")
    with tempfile.TemporaryDirectory(prefix="ddlcheck-") as private:
        out, _, rc = ansible_runner.run_command(
            executable_cmd=str(beside) if beside.exists() else "ansible-playbook",
            cmdline_args=[*words, *extra],
            host_cwd=str(tree),
            envvars={
                "ANSIBLE_CONFIG": str(tree / "ansible.cfg"),
                "ANSIBLE_ROLES_PATH": str(tree / "roles"),
                "ANSIBLE_DISPLAY_OK_HOSTS": "no",
                "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "no",
                **({} if sys.stdout.isatty() else {"ANSIBLE_NOCOLOR": "1"}),
            },
            private_data_dir=private,
            quiet=quiet,
        )
    if rc != 0:
        tail = [line for line in str(out).splitlines() if line.startswith(("fatal:", "ERROR!", "[ERROR]"))][-1:]
        why = f": {tail[0][:300]}" if tail else ""
        raise DdlcheckError(f"`{command(inventory, roles, limit)}` ended with status {rc}{why}")


def _absolute(inventory: str) -> str:
    return inventory if "," in inventory else str(pathlib.Path(inventory).resolve())
