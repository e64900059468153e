"""Moments that a clock step cannot move: the boot, and the seconds since it."""

from __future__ import annotations

import time

from ddlcheck.errors import NotSeen
from ddlcheck.probes import quick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BOOTTIME = 7  # CLOCK_BOOTTIME: goes on while a machine is suspended


def boot() -> str:
    """Return the id of this boot."""
    return str(quick.read_text("/proc/sys/kernel/random/boot_id")).strip()


def since_boot() -> float:
    """Return the seconds since the boot, suspensions included."""
    return time.clock_gettime(_BOOTTIME)


def stamp() -> dict[str, Any]:
    """Return this moment as it is kept: ``{"boot": id, "since_boot": seconds, "time": epoch}``."""
    return {"boot": boot(), "since_boot": since_boot(), "time": time.time()}


def age(of: str, record: dict[str, Any]) -> float:
    """Return how old a stamped record is, in seconds; raises `NotSeen` when that cannot be told."""
    try:
        then, kept = float(record["since_boot"]), str(record["boot"])
    except (KeyError, TypeError, ValueError):
        raise NotSeen(f"{of} does not say when it was made") from None
    if kept != boot():
        raise NotSeen(f"{of} is from before the last boot")
    passed = since_boot() - then
    if not passed >= 0:
        raise NotSeen(f"{of} says that it was made in the future")
    return passed


def fresh(of: str, record: dict[str, Any], most: float) -> float:
    """Return the age of a record that is at most ``most`` seconds old; raises `NotSeen` otherwise."""
    found = age(of, record)
    if not found <= most:
        raise NotSeen(f"{of} is {found:.0f} s old, more than {most:.0f} s")
    return found
