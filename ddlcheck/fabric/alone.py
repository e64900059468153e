"""Which node keeps a launch from starting: a daemon on each by itself, some at a time."""

from __future__ import annotations

import shlex

from ddlcheck.errors import NodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ddlcheck.fabric.files import Files

#: Daemons at a time: all at once would be more ssh than a head takes.
_AT_ONCE = 16
#: Seconds for one: ssh's own connection time-out may be longer, and then it counts as not started.
_DEADLINE = 15
_SCRIPT = 'file=$1; shift; timeout -k 2 {} "$@" >/dev/null 2>&1; echo "@alone@ $file $?"'


def unstarted(files: Files, command: Callable[[str], Sequence[str]], hosts: Mapping[str, str]) -> list[str]:
    """Return the nodes on which a daemon does not start; ``command`` makes the launch line for a host file."""
    out = []
    for batch in _batches(list(hosts.items()), _AT_ONCE):
        lines = []
        for i, (_, host) in enumerate(batch):
            path = files.put(f"{host}\n".encode(), f"{i}")
            lines.append(f"({shlex.join(['sh', '-c', _SCRIPT.format(_DEADLINE), 'sh', str(i), *command(path)])}) &")
        ended = set()
        try:
            for line in files.head.stream(["sh", "-c", "\n".join([*lines, "wait"])], deadline=_DEADLINE + 10, env={}):
                words = line.split()
                if words[:1] == ["@alone@"] and words[2:] == ["0"]:
                    ended.add(words[1])
        except NodeError:
            pass  # who did not end by then did not start
        out += [node for i, (node, _) in enumerate(batch) if str(i) not in ended]
    return out


def _batches(items: Sequence[tuple[str, str]], size: int) -> Iterator[Sequence[tuple[str, str]]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
