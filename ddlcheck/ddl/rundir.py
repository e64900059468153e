"""The directory of one launch: rank file, host file, the line, the log."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from ddlcheck.ddl.here import write_whole
from ddlcheck.errors import UsageError


class RunDir(NamedTuple):
    """Where a launch keeps its files; ``kept`` if the user named it."""

    path: Path
    kept: bool

    @property
    def rankfile(self) -> Path:
        """The rank file mpirun reads."""
        return self.path / "rankfile"

    @property
    def hostfile(self) -> Path:
        """The hosts and their slots."""
        return self.path / "hostfile"

    @property
    def log(self) -> Path:
        """What mpirun and the ranks said."""
        return self.path / "launch.log"

    def write(self, rankfile: str, hostfile: str) -> None:
        """Write both lists."""
        write_whole(self.rankfile, rankfile)
        write_whole(self.hostfile, hostfile)

    def remove(self) -> None:
        """Forget a launch that went well, unless its directory was named."""
        if not self.kept:
            shutil.rmtree(self.path, ignore_errors=True)


def make(named: str | None) -> RunDir:
    """Return the named directory, or a new one of this user alone; raises `UsageError`."""
    try:
        if named:
            path = Path(named).absolute()
            path.mkdir(parents=True, exist_ok=True)
            return RunDir(path, kept=True)
        state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
        base = Path(state, "ddlcheck", "launch")
        base.mkdir(parents=True, exist_ok=True)
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S-")
        return RunDir(Path(tempfile.mkdtemp(prefix=stamp, dir=base)), kept=False)
    except OSError as error:
        raise UsageError(
            f"{error.filename}: no directory for the launch can be made there: {error.strerror}"
        ) from error
