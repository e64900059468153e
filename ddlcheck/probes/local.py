"""Ask this very machine: the same agent, without ssh, and for the node gate without a process of its own."""

from __future__ import annotations

import os
import pwd
import resource

from ddlcheck.probes import agent, parts
from ddlcheck.wants import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.probes.pipes import ProcessPipe
    from ddlcheck.wants import Want


def start(command: str) -> ProcessPipe:
    """Start a command here."""
    from ddlcheck.probes.pipes import ProcessPipe  # noqa: PLC0415 - the gate needs none

    return ProcessPipe(["/bin/sh", "-c", command])


def gather(wanted: Mapping[str, Want], seconds: float) -> dict[str, Answer]:
    """Answer wants in this very process: ``{key: want}`` to ``{key: Answer}``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    agent.SESSION.update(soft=_kib(soft), hard=_kib(hard), user=pwd.getpwuid(os.geteuid()).pw_name)
    more = parts.needed(wanted)
    if more:
        agent.extend(more["parts"], more["programs"])  # type: ignore[no-untyped-call]
    got = agent.gather(dict(wanted), seconds)  # type: ignore[no-untyped-call]  # it runs on Python 3.6
    answers = {key: Answer.from_json(record) for key, record in got.items()}
    for key, want in wanted.items():
        data = answers[key].data
        if want["op"] == "now" and isinstance(data, dict):
            data.update(after=data["node"], before=data["node"])
    return answers


def _kib(limit: int) -> str:
    """Return a limit as ``ulimit -l`` prints it."""
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit // 1024)
