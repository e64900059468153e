"""What a run writes on the head: under names of its own, and gone at its end."""

from __future__ import annotations

import contextlib
import os.path
import secrets

from ddlcheck.errors import NodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ddlcheck.fabric import Head

#: Seconds to remove what was written.
_DEADLINE = 10
#: Minutes after which a file is no running launch's: its run was killed, and nobody else will remove it.
_OLD = 24 * 60
# Arguments: the run's token, the directory, its files. The second half is for files of killed runs, and for
# what a put that was interrupted left (its name begins with a dot).
_SCRIPT = f"""
token=$1 folder=$2; shift 2
rm -f -- "$@"
find "$folder" -maxdepth 1 -type f \\( -name "fabric.$token.*" -o -name ".fabric.$token.*" \\
  -o \\( -name 'fabric.*' -o -name '.fabric.*' \\) -mmin +{_OLD} \\) -exec rm -f -- {{}} + 2>/dev/null
"""


class Files:
    """Host files on a head. Two runs at once, of one user and even one home, do not write the same ones."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._token = secrets.token_hex(6)
        self._paths: dict[str, None] = {}

    def put(self, data: bytes, name: str) -> str:
        """Write a file; return its path."""
        path = self.head.put(data, f"fabric.{self._token}.{name}")
        self._paths[path] = None
        return path

    def remove(self) -> None:
        """Remove what was written, and what killed runs left a day ago or more, as far as that can be done."""
        if not self._paths:
            return
        paths = list(self._paths)
        command = ["sh", "-c", _SCRIPT, "sh", self._token, os.path.dirname(paths[0]), *paths]  # noqa: PTH120 - there
        with contextlib.suppress(NodeError, OSError):
            for _ in self.head.stream(command, deadline=_DEADLINE, env={}):
                pass
