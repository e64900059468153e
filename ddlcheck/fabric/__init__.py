"""MPI between every pair of nodes: who talks to whom, how it is launched, and what came of it.

`measure` (in `ddlcheck.fabric.stage`) is the stage; it drives a `Head` and returns a `Measurement`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Protocol

    class Head(Protocol):
        """The node that launches, as the job user; nothing it starts outlives the reader of `stream`."""

        def stream(
            self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float, env: Mapping[str, str] | None = None
        ) -> Iterator[str]:
            """Run a command; yield its stdout by lines as they come; raise `ddlcheck.errors.NodeError`."""

        def put(self, data: bytes, remote_name: str) -> str:
            """Write a file into a private directory of the job user on the head; return its path."""


#: The want that a node's part of a measurement answers.
WANT = {"op": "fabric"}
#: The form of a saved measurement; another one is refused, never guessed at.
VERSION = 1


class Measurement:
    """What one run of the stage found, by node names; plain JSON values throughout.

    ``pairs``: ``{"a", "b", "rail", "round", "pass", "lat": [{"size", "n", "median", "p99", "min"}], "bw":
    [{"size", "ab", "ba", "both"}], "bad", "at", "via": [device of a, of b]}``; microseconds for half a round
    trip, MB/s (10^6 bytes), ``both`` the sum of both directions. ``ranks``: ``{node: {"host", "memlock_soft",
    "memlock_hard", "mpi", "stack", "links": {device: its rate file}, "addresses": {interface: IPv4}}}``.
    ``interfaces``: what MPI was told to use, by name or as networks; empty where the choice was its own.
    ``counters``: ``{node: {phase: {"payload", "moved": {device: [sent, received]}}}}``.
    ``device``: ``{node: {"state", "peer", "why", …}}`` of the exchange of device buffers, where it was asked for.
    ``unstarted``: nodes on which a daemon does not start even alone, ``{node: {"cause", "remedy", "text"}}``.
    ``hung``: ``{"a", "b", "during", "by": [nodes that said so]}``. ``builds`` and ``died``: ``{node: why}``.
    ``libraries``: ``{node: what the MPI library calls itself}``.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = list(nodes)
        self.interfaces: list[str] = []
        self.pairs: list[dict[str, Any]] = []
        self.ranks: dict[str, dict[str, Any]] = {}
        self.counters: dict[str, dict[str, Any]] = {}
        self.hung: list[dict[str, Any]] = []
        self.silent: list[str] = []
        self.unstarted: dict[str, dict[str, str]] = {}
        self.device: dict[str, dict[str, Any]] = {}
        self.builds: dict[str, str] = {}
        self.died: dict[str, str] = {}
        self.libraries: dict[str, str] = {}
        self.notes: list[str] = []
        self.command: list[str] = []
        self.talk = ""
        self.failure: dict[str, str] = {}
        self.mpi = ""
        self.rounds = {"of": 0, "planned": 0, "done": 0}
        self.seconds = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return everything, to be saved."""
        return {"version": VERSION, **vars(self)}

    def by_node(self) -> dict[str, dict[str, Any]]:
        """Return each node's part, as the answer to `WANT`; the whole is in them exactly once.

        A pair stands with its first node, what concerns the launch with every node (the launcher's talk with
        the first only, for it can be long).
        """
        from ddlcheck.fabric import twins  # noqa: PLC0415 - who only reads a saved part needs no addresses

        shared = twins.by_node(twins.find(self), self.nodes)
        common = {
            "nodes": len(self.nodes), "mpi": self.mpi, "rounds": self.rounds, "failure": self.failure,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip
        first = {"command": self.command, "talk": self.talk, "notes": self.notes}
        mine: dict[str, list[dict[str, Any]]] = {node: [] for node in self.nodes}
        for pair in self.pairs:
            mine[pair["a"]].append(pair)
        hung: dict[str, list[dict[str, Any]]] = {node: [] for node in self.nodes}
        for pair in self.hung:
            hung[pair["a"]].append(pair)
        return {
            node: {
                **common,
                **(first if node == self.nodes[0] else {}),
                "pairs": mine[node],
                "hung": hung[node],
                "silent": node in self.silent,
                "twins": shared[node],
                "unstarted": self.unstarted.get(node),
                "device": self.device.get(node, {}),
                "library": self.libraries.get(node, ""),
                "died": self.died.get(node, ""),
                "build": self.builds.get(node, ""),
                "rank": self.ranks.get(node),
                "counters": self.counters.get(node, {}),
            }
            for node in self.nodes
        }
