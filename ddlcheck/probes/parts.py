"""What the agent is given besides itself, and only when something is asked that needs it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddlcheck.wants import Want

#: Op: the module beside this one that answers it on the node.
_PARTS = {
    "mount": "storage", "token": "storage", "stat": "quick", "space": "quick", "processors": "quick",
}  # fmt: skip


def needed(wants: Mapping[str, Want]) -> dict[str, dict[str, str]]:
    """Return what a request has to carry for these wants; empty where the agent knows all of them itself."""
    ops = {str(want["op"]) for want in wants.values()}
    parts = _read(_PARTS[op] for op in ops & set(_PARTS))
    return {"parts": parts, "programs": {}} if parts else {}


def _read(names: Iterable[str]) -> dict[str, str]:
    # Not pathlib: the node gate's start-up is a figure we publish, and it does without.
    out = {}
    for name in set(names):
        with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123
            out[name] = file.read()
    return out
