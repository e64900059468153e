"""What goes wrong on real clusters, as faults that can be put into a node of the lab and taken out again.

Each names the promise that it breaks, the words that the verdict's cause must then have, and the other promises
that may fail because of it. ``python -m ddlcheck.lab.faults`` prints docs/faults.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.lab.faults import fabric, machine, mesh, mpi, services, storage
from ddlcheck.lab.faults.fault import EVERY, KEEP, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVERY", "FAULTS", "KEEP", "Fault", "table"]

_PARTS = (machine, mesh, mpi, services, storage, fabric)
#: Every fault by its name.
FAULTS: Mapping[str, Fault] = {fault.name: fault for part in _PARTS for fault in part.FAULTS}


def table() -> str:
    """Return docs/faults.md: what breaks, what is then said, and what mends it."""
    rows = [
        f"| `{f.name}` | {f.title} | {f.promise if f.promise == EVERY else f'`{f.promise}`'} {f.status} "
        f"| `{f.cause.replace('|', chr(92) + '|')}` | {f'role `{f.remedy}`' if f.remedy else 'by hand'} "
        f"| {', '.join(f'`{name}`' for name in sorted(f.allowed))} |"
        for f in FAULTS.values()
    ]
    head = (
        "# Faults\n\nWritten by `python -m ddlcheck.lab.faults`; do not edit. Each fault is put into one node of the\n"
        "practice cluster (`ddlcheck lab break NODE FAULT`), found by `ddlcheck cluster`, and mended:\n"
        "`tests/lab/test_faults.py`.\n\n"
        "| fault | what happened | promise | the cause says | mended by | may follow |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"
