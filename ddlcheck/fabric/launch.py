"""One launch: the rank program on some hosts by the mpirun that is tested, and what its ranks say until it ends."""

from __future__ import annotations

import base64
import gzip
import re
import time
from importlib import resources

from ddlcheck.errors import NodeError
from ddlcheck.fabric import mpirun
from ddlcheck.fabric.stream import Collector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ddlcheck.fabric.files import Files
    from ddlcheck.fabric.options import Options

#: Seconds a launcher has to end once its ranks did.
DYING = 5.0
# One pipe for both, for the launcher's complaints are on stderr; its status as a last event; and an empty line a
# second, so that we notice when nothing is said any more.
_SCRIPT = (
    '(while sleep 1; do echo; done) & "$@" 2>&1; rc=$?; kill $!; echo "@ddlcheck@ {\\"t\\":\\"exit\\",\\"rc\\":$rc}"'
)


class Launcher:
    """Launches by one dialect; ``shown`` is the last command, without the program's text."""

    def __init__(
        self, files: Files, options: Options, dialect: mpirun.Dialect, progress: Callable[[str], None], *, root: bool
    ) -> None:
        self.files = files
        self.options = options
        self.dialect = dialect
        self.progress = progress
        self.root = root
        self.shown: list[str] = []

    def one_daemon(self, path: str, program: Sequence[str]) -> list[str]:
        """Return the command that runs a program on the one host of a host file."""
        o = self.options
        return mpirun.command(
            self.dialect, program, mpirun=o.mpirun, hostfile=path, ranks=1, interfaces=o.interfaces, agent=o.agent,
            root=self.root, extra=o.extra,
        )  # fmt: skip

    def launch(self, hosts: Sequence[str], schedule: Sequence[str], *, left: float, start: float) -> Collector:
        """Run the ranks on ``hosts`` for up to ``left`` seconds; build the program only, without a ``schedule``.

        ``start``: seconds until everybody has to be through MPI_Init. Raise `NodeError` where the head is lost.
        """
        o = self.options
        path = self.files.put(mpirun.hostfile(self.dialect, hosts, o.per_node), "hosts")
        arguments = self._arguments(schedule, left, start) if schedule else []
        command = mpirun.command(
            self.dialect, ["sh", "-c", text("build.sh"), "ddlcheck-rank", source(), o.mpicc, *arguments],
            mpirun=o.mpirun, hostfile=path, ranks=len(hosts) * o.per_node, per_node=o.per_node,
            transport=o.transport if o.force else "", interfaces=o.interfaces, agent=o.agent, env=o.env,
            root=self.root, shared_cores=o.shared_cores, extra=o.extra,
        )  # fmt: skip
        self.shown = [*command[: command.index("sh")], "ddlcheck-rank", *arguments]
        collector = Collector(len(hosts) * o.per_node)
        try:
            self._follow(command, collector, left)
        except NodeError as error:
            collector.feed(f"ddlcheck: {error}")
            if error.reason != "timeout":
                raise
        return collector

    def _arguments(self, schedule: Sequence[str], left: float, start: float) -> list[str]:
        o = self.options
        return [
            "sizes=" + ",".join(map(str, o.sizes)), f"iterations={o.iterations}", f"ms={o.ms}", f"window={o.window}",
            f"per_node={o.per_node}", f"patience={o.patience:g}", f"life={left:.0f}", f"start={start:.0f}",
            *schedule, *(["rails=" + ",".join(o.rails)] if o.rails else []),
        ]  # fmt: skip

    def _follow(self, command: Sequence[str], collector: Collector, left: float) -> None:
        dying = 0.0
        for line in self.files.head.stream(["sh", "-c", _SCRIPT, "sh", *command], deadline=left + 5, env={}):
            event = collector.feed(line)
            if event is not None and event["t"] in ("hang", "stuck", "silent", "build"):
                self.progress(f"{event}")
            # The daemon of a node that does not answer would keep the launcher waiting for ever.
            if not dying and collector.over:
                dying = time.monotonic()
            if dying and time.monotonic() > dying + DYING:
                return


def text(name: str) -> str:
    """Return a file of this package: the script that builds, or the program."""
    return resources.files("ddlcheck.fabric").joinpath(name).read_text(encoding="utf-8")


def source() -> str:
    """Return the program as the script takes it: gzip, in base64."""
    # mtime 0: equal sources give equal text, and so one program in the nodes' caches.
    return base64.b64encode(gzip.compress(_in_one_piece("rank/rank.c").encode(), 9, mtime=0)).decode()


def _in_one_piece(program: str) -> str:
    """Return a C program with the headers beside it in place of their includes: one file is sent to the nodes."""
    beside = program.rpartition("/")[0]
    return re.sub(
        r'^#include "(\w+\.h)"$', lambda match: text(f"{beside}/{match[1]}"), text(program), flags=re.MULTILINE
    )
