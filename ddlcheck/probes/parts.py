"""What the agent is given besides itself, and only when something is asked that needs it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.wants import Want

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - not pathlib: the node gate's start-up is a figure we publish
#: Op: the modules beside this one that answer it on the node.
_PARTS = {
    "mount": ("children", "storage"), "dataset": ("children", "storage"), "token": ("children", "tokens"),
    "stat": ("quick",), "space": ("quick",), "processors": ("quick",),
}  # fmt: skip
#: Op: a program that it runs on the node, which is a role's.
_PROGRAMS = {"dataset": "dataset"}


def needed(wants: Mapping[str, Want]) -> dict[str, dict[str, str]]:
    """Return what a request has to carry for these wants; empty where the agent knows all of them itself."""
    ops = {str(want["op"]) for want in wants.values()}
    names = {name for op in ops & set(_PARTS) for name in _PARTS[op]}
    if not names:
        return {}
    parts = {name: _read(os.path.join(_HERE, f"{name}.py")) for name in names}  # noqa: PTH118
    return {
        "parts": parts,
        "programs": {name: program(name) for name in (_PROGRAMS[op] for op in ops & set(_PROGRAMS))},
    }


def modules() -> list[str]:
    """Return the modules beside this one that a node may be sent, or is given with the gate."""
    return sorted({name for names in _PARTS.values() for name in names})


def programs() -> list[str]:
    """Return the roles whose programs nodes may be asked to run."""
    return sorted(set(_PROGRAMS.values()))


def program(name: str) -> str:
    """Return a role's program as one text: its modules, what puts them together, and NAME.py, which uses them.

    roles/NAME/vars/main.yml does the same for Ansible.
    """
    found = files(name)
    joined = [[module, found[f"{module}.py"]] for module in found["modules"].split()]
    return f"MODULES = {joined!a}\n{found['join.py']}\n{found[f'{name}.py']}"


def files(name: str) -> dict[str, str]:
    """Return the files a role's program is made of: of the checkout, or of what was installed with us."""
    for above in ("../..", "../share"):
        folder = os.path.join(_HERE, above, "roles", name, "files")  # noqa: PTH118
        if os.path.isdir(folder):  # noqa: PTH112
            order = _read(os.path.join(folder, "modules"))  # noqa: PTH118
            names = [f"{module}.py" for module in (*order.split(), "join", name)]
            return {"modules": order, **{file: _read(os.path.join(folder, file)) for file in names}}  # noqa: PTH118
    raise FileNotFoundError(f"the role {name}, which belongs to ddlcheck, is not installed beside it")


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()
