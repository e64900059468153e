"""What was promised: declared variables and role defaults, as typed expectations of one node."""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: The form of a saved intent; another one is refused, never guessed at.
VERSION = 1
#: What one node has to know of the others: their names and addresses.
NAMING = ("hostname_policy", "hostname_fabric_name", "hosts_file_address", "interfaces_fabric_address")


class Intent:
    """What is promised of one node, in a cluster of ``nodes`` (which includes it).

    ``values`` holds every role variable, defaults included; ``intent["memlock_limit"]`` reads one.
    """

    __slots__ = ("_values", "cluster", "node")

    def __init__(
        self, node: str, values: Mapping[str, Any], cluster: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.node = node
        self._values = values
        self.cluster: Mapping[str, Mapping[str, Any]] = cluster if cluster is not None else {node: values}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - YAML, typed by the role's argument spec
        """Return a declared variable; raise `NotSeen` where a kept intent is older than the variable."""
        try:
            return self._values[name]
        except KeyError:
            raise NotSeen(
                f"the intent says nothing of {name}: another version of ddlcheck kept it; keep it anew"
            ) from None

    @property
    def values(self) -> Mapping[str, Any]:
        """Every declared variable of the node, defaults included."""
        return self._values

    def naming(self) -> dict[str, Any]:
        """Return what a node that judges itself has to know of the cluster: names and addresses, a row a node."""
        rows = [[name, *(str(values[field]) for field in NAMING)] for name, values in self.cluster.items()]
        return {"fields": list(NAMING), "nodes": rows}

    @classmethod
    def of_naming(cls, node: str, values: Mapping[str, Any], naming: Mapping[str, Any]) -> Intent:
        """Return the intent of a node that knows only names and addresses of the others.

        Raises ``KeyError``, ``TypeError`` or ``ValueError`` on another form.
        """
        fields = [str(field) for field in naming["fields"]]
        cluster: dict[str, Mapping[str, Any]] = {}
        for name, *row in naming["nodes"]:
            if not isinstance(name, str) or len(row) != len(fields):
                raise ValueError(name)
            cluster[name] = dict(zip(fields, map(str, row)))
        if node in cluster:
            cluster[node] = values
        return cls(node, values, cluster)

    def digest(self) -> str:
        """Return the digest of all that is declared: equal promises have equal digests, wherever they are kept."""
        import hashlib  # noqa: PLC0415 - the node gate only compares digests
        import json  # noqa: PLC0415

        body = {"node": self.node, "values": dict(self._values), "naming": self.naming()}
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def of(self, node: str) -> Intent:
        """Return the intent of another node of the cluster."""
        return Intent(node, self.cluster[node], self.cluster)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node of the cluster, in the inventory's order."""
        return tuple(self.cluster)

    @property
    def hostname(self) -> str:
        """The name the node itself must answer to: its fabric name under policy ``ib``, else its own.

        Without a domain: so ``hostname -s`` prints it, and Open MPI compares it.
        """
        fabric = str(self["hostname_fabric_name"])
        return fabric if self["hostname_policy"] == "ib" and fabric else short(self.node)

    @property
    def mpi_name(self) -> str:
        """The name for host lists and rank files: the one the node's daemon reports.

        Open MPI compares names, not addresses, so host list and ``gethostname`` have to agree.
        """
        return self.hostname

    @property
    def addresses(self) -> dict[str, str]:
        """Every declared name of the node and its address; short forms of qualified names included.

        A node whose addresses were not declared has none here: then only agreement can be judged.
        """
        out: dict[str, str] = {}
        fabric_address = str(self["interfaces_fabric_address"])
        if fabric_address and self["hostname_fabric_name"]:
            _add(out, str(self["hostname_fabric_name"]), fabric_address)
        if self["hosts_file_address"]:
            _add(out, self.node, str(self["hosts_file_address"]))
        return out

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in use for the node, the one it answers to first."""
        found = dict.fromkeys([self.hostname, self.node])
        if self["hostname_fabric_name"]:
            found[str(self["hostname_fabric_name"])] = None
        for name in list(found):
            found[short(name)] = None
        return tuple(found)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name in use in the cluster, each once, in order; worked out once for a cluster."""
        held = _ALL_NAMES.get(id(self.cluster))
        if held is None or held[0] is not self.cluster:
            found = dict.fromkeys(name for node in self.nodes for name in self.of(node).names)
            held = _ALL_NAMES[id(self.cluster)] = (self.cluster, tuple(found))
        return held[1]


#: The cluster is kept beside its names, so that its id stays its own.
_ALL_NAMES: dict[int, tuple[Mapping[str, Mapping[str, Any]], tuple[str, ...]]] = {}


def _add(out: dict[str, str], name: str, address: str) -> None:
    out[name] = address
    out.setdefault(short(name), address)


def short(name: str) -> str:
    """Return a host name without its domain; an address is no name, and stays whole."""
    return name if ":" in name or name.replace(".", "").isdigit() else name.partition(".")[0]


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the known word that is most like this one, or an empty string."""
    import difflib  # noqa: PLC0415 - needed only to word an error

    return next(iter(difflib.get_close_matches(word, known, 1, 0.6)), "")
