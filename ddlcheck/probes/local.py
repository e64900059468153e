"""Ask this very machine: the same agent, without ssh."""

from __future__ import annotations

from ddlcheck.probes.pipes import ProcessPipe


def start(command: str) -> ProcessPipe:
    """Start a command here."""
    return ProcessPipe(["/bin/sh", "-c", command])
