"""What a check may ask of a node, and what comes back.

A want is a plain JSON object, so that it can be sent to the agent, saved, and compared: two checks that
want the same thing are served by one look. An `Answer` is what the node said; reading it through
`Answer.need` turns everything that is not an answer into `NotSeen`, and so into UNKNOWN.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Want = dict[str, Any]
    Wants = Mapping[str, Want]

#: Seconds a command on a node may take unless its want says otherwise.
DEADLINE = 10.0
#: Bytes of one file or of one stream of a command that are kept; more is cut and said so.
MAX_BYTES = 256 * 1024
#: Stands for the user whose ssh session carries us, where no job user is declared.
SESSION_USER = "@session"


def read(path: str) -> Want:
    """Ask for a file's text."""
    return {"op": "read", "path": path}


def read_all(*patterns: str) -> Want:
    """Ask for every file that matches; ``data`` is ``{path: text}`` in C-locale order."""
    return {"op": "read_all", "patterns": list(patterns)}


def run(*argv: str, deadline: float = DEADLINE, user: str = "", env: Mapping[str, str] | None = None) -> Want:
    """Ask for a command's output; ``user`` runs it as that user (needs privilege), without a shell."""
    return {"op": "run", "argv": list(argv), "deadline": deadline, "user": user, "env": dict(env or {})}


def each(
    argv: Sequence[str],
    items: Sequence[str],
    *,
    deadline: float = DEADLINE,
    parallel: int = 16,
    user: str = "",
) -> Want:
    """Ask for one command per item (``{}`` in ``argv`` stands for it), ``parallel`` at a time.

    ``data`` is ``{item: {"rc": int | None, "out": str, "err": str, "ms": float}}``; ``rc`` None: late.
    """
    return {
        "op": "each", "argv": list(argv), "items": list(items),
        "deadline": deadline, "parallel": parallel, "user": user,
    }  # fmt: skip


def proc(units: Sequence[str], name: str) -> Want:
    """Ask for ``/proc/PID/name`` of the main process of each systemd unit that runs.

    ``data`` is ``{unit: text}``; a unit that does not exist or does not run is left out.
    """
    return {"op": "proc", "units": list(units), "name": name}


def resolve(names: Sequence[str], deadline: float = DEADLINE) -> Want:
    """Ask what the node's own resolver says of names; ``deadline`` seconds for all of them together.

    ``data`` is ``{"forward": {name: [address, …]}, "reverse": {address: name}, "self": [address, …],
    "hostname": str, "canonical": str, "late": [name, …]}``; an unresolvable name has an empty list, and so has
    one that the resolver had not answered in time, which then stands in ``late``, too.
    """
    return {"op": "resolve", "names": list(names), "deadline": deadline}


def session() -> Want:
    """Ask what the fresh ssh session that carries us is like, before any privilege is taken.

    ``data`` is ``{"soft": str, "hard": str, "user": str, "noise": str}``: the memlock limits as ``ulimit``
    prints them (KiB or ``unlimited``), and what the login printed before our first word.
    """
    return {"op": "session"}


def stat(*paths: str) -> Want:
    """Ask what paths are, links followed; ``data`` is ``{path: record}``.

    A record is ``{"kind": "file" | "directory" | …, "link": bool, "mode": "0644", "uid": int, "gid": int,
    "size": bytes, "mtime": seconds}``, or ``{"why": str, "err": str}``.
    """
    return {"op": "stat", "paths": list(paths)}


def space(*paths: str) -> Want:
    """Ask for the file systems that hold paths, in KiB and inodes; ``data`` is ``{path: record}``.

    A record is ``{"size": n, "free": n, "used": n, "files": n, "files_free": n, "at": path, "source": str,
    "type": str, "options": str}``, or ``{"why": str, "err": str}``; the last four are of the mount that holds the path.
    """
    return {"op": "space", "paths": list(paths)}


def processors() -> Want:
    """Ask how many processors are online; ``data`` is ``{"sockets": n, "cores": n, "threads": n}``."""
    return {"op": "processors"}


#: Wants that a later stage of `ddlcheck cluster` answers; a node alone cannot.
STAGED = ("rank", "fabric", "shared")
#: Wants that start no process and ask no name service: the node gate answers them itself.
QUICK = ("read", "read_all", "proc", "session", "now", "stat", "space", "processors")


def slow(want: Want) -> bool:
    """Whether the node gate takes what the background tier stamped of a want, because looking would take too long."""
    return want["op"] not in (*QUICK, *STAGED)


def now() -> Want:
    """Ask for the time: ``data`` is ``{"node": t, "after": t0, "before": t1}``, seconds since the epoch.

    The node's clock read ``node`` at a moment between ``after`` and ``before`` of the asking machine's clock.
    """
    return {"op": "now"}


def mount(path: str, *, also: Sequence[str] = (), sentinel: str = "", deadline: float = 5.0) -> Want:
    """Ask what is mounted at a path, and whether it answers; the probe is a child that is never waited for.

    ``data`` is ``{"mounts": [line of mountinfo, …], "probe": {"state": "" | "late" | "hung" | "stuck", …},
    "counters": {…} | None, "before": {…} | None}``: lines on the way to the path and to ``also``; what the probe saw
    (or ``errno``, ``error``, ``at``); the NFS client's counters now and at the last look (with its ``time``).
    """
    return {"op": "mount", "path": path, "also": list(also), "sentinel": sentinel, "deadline": deadline}


def shared(path: str) -> Want:
    """Ask whether tokens written by one node under a path are seen by the others; answered by the storage stage.

    ``data`` is ``{"peers": [node, …], STEP: what came of it, …}``, in the form of `ddlcheck.storage`.
    """
    return {"op": "shared", "path": path}


def dataset(spec: Mapping[str, Any], deadline: float) -> Want:
    """Ask for a look at a data set, in a child that is never waited for.

    ``spec`` and ``data`` are those of ``quick`` in roles/dataset/files/dataset.py; ``data`` holds ``state`` as well,
    as of `mount`, and ``trouble`` where the look could not begin.
    """
    return {"op": "dataset", "spec": dict(spec), "deadline": deadline}


def rank() -> Want:
    """Ask what a rank, started on this node by the very mpirun, is like; answered by the fabric stage.

    ``data`` is ``{"memlock_soft": str, "memlock_hard": str, "host": str, "mpi": str}``.
    """
    return {"op": "rank"}


def key(want: Want) -> str:
    """Return the want's identity: equal wants have equal keys."""
    import json  # noqa: PLC0415 - the node gate knows its wants by their names, and counts milliseconds

    return json.dumps(want, sort_keys=True, separators=(",", ":"))


class Answer:
    """What came back for one want.

    ``why`` is empty when it was answered; otherwise one of ``missing``, ``denied``, ``deadline``, ``hung``
    (late, and did not die when killed), ``too much``, ``failed`` (with the reason in ``err``), ``not asked``.
    """

    __slots__ = ("data", "err", "ms", "rc", "text", "why")

    def __init__(
        self,
        text: str = "",
        *,
        rc: int | None = None,
        err: str = "",
        data: Any = None,  # noqa: ANN401 - JSON, whose shape is the want's
        why: str = "",
        ms: float = 0.0,
    ) -> None:
        self.text = text
        self.rc = rc
        self.err = err
        self.data = data
        self.why = why
        self.ms = ms

    def need(self, *, rc: Sequence[int] | None = (0,)) -> str:
        """Return the text; raise `NotSeen` when there is none, or the exit status is not in ``rc``."""
        if self.why:
            raise NotSeen(f"{self.why}: {self.err}" if self.err else self.why)
        if rc is not None and self.rc is not None and self.rc not in rc:
            raise NotSeen(f"exit status {self.rc}: {(self.err or self.text).strip()[:200]}")
        return self.text

    def need_data(self) -> Any:  # noqa: ANN401
        """Return the data; raise `NotSeen` when there is none."""
        if self.why:
            raise NotSeen(f"{self.why}: {self.err}" if self.err else self.why)
        if self.data is None:
            raise NotSeen("the answer holds no data")
        return self.data

    def to_json(self) -> dict[str, Any]:
        """Return what differs from an empty answer."""
        out: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if value not in ("", None):
                out[name] = value
        return out

    @classmethod
    def from_json(cls, record: object) -> Answer:
        """Read what an agent sent; anything that is not an answer becomes one that says so."""
        if not isinstance(record, dict):
            return cls(why="failed", err="the node sent something that is not an answer")
        text, err, why = (record.get(name, "") for name in ("text", "err", "why"))
        rc, ms = record.get("rc"), record.get("ms", 0.0)
        if not (
            all(isinstance(x, str) for x in (text, err, why))
            and (rc is None or isinstance(rc, int))
            and isinstance(ms, (int, float))
        ):
            return cls(why="failed", err="the node sent an answer of the wrong shape")
        return cls(text, rc=rc, err=err, data=record.get("data"), why=why, ms=float(ms))
