"""The words every check speaks: a status, what was seen, what was promised, why, and what mends it.

Plain classes: importing ``dataclasses`` costs more than a whole node gate may take.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from enum import IntEnum
    from typing import Any
else:

    class _Members(type):
        """What of ``enum`` is used here: importing it costs half of what starting Python does."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            made = {key: value for key, value in body.items() if type(value) is int}
            new = super().__new__(cls, name, bases, {k: v for k, v in body.items() if k not in made})
            new.by_name = {}
            for key, value in made.items():
                member = int.__new__(new, value)
                member.name, member.value = key, value
                setattr(new, key, member)
                new.by_name[key] = member
            return new

        def __iter__(cls) -> Iterator[IntEnum]:
            return iter(cls.by_name.values())

        def __len__(cls) -> int:
            return len(cls.by_name)

        def __getitem__(cls, name: str) -> IntEnum:
            return cls.by_name[name]

    class IntEnum(int, metaclass=_Members):
        """An int with a name; a value that is no member's is refused."""

        def __new__(cls, value: int) -> IntEnum:  # noqa: D102, PYI034 - a member, made before
            for member in cls.by_name.values():
                if member == value:
                    return member
            raise ValueError(f"{value!r} is not a valid {cls.__name__}")

        def __repr__(self) -> str:
            return f"<{type(self).__name__}.{self.name}: {self.value}>"

        def __reduce__(self) -> tuple[type, tuple[int]]:
            return type(self), (int(self),)


class Status(IntEnum):
    """What may be said of a promise, from good to bad: ``max`` of several is the one to report."""

    SKIP = 0  # not judged, and the verdict says why
    PASS = 1
    WARN = 2
    UNKNOWN = 3  # could not tell: never a pass
    FAIL = 4


#: Remedies that are not roles. A closed set: whoever reads a report may switch on it.
VERBS = ("inspect", "inventory", "reconnect", "reboot", "wait")

#: 2 is left to usage errors: a typing error must not read as a sick node.
EXIT_READY, EXIT_NOT_READY, EXIT_USAGE, EXIT_UNKNOWN = 0, 1, 2, 3


class Verdict:
    """One promise, judged for one node or for several together.

    ``seen`` and ``promised`` are short phrases made from ``evidence`` and ``declared``, which hold the
    same as named JSON values. ``cause`` is one sentence without a full stop. ``remedy`` is the name of a
    role, or one of `VERBS`; empty on a pass. ``ms`` is what gathering and judging took.
    """

    __slots__ = ("cause", "declared", "evidence", "ms", "nodes", "promise", "promised", "remedy", "seen", "status")

    def __init__(
        self,
        status: Status,
        seen: str,
        *,
        promised: str = "",
        cause: str = "",
        remedy: str = "",
        evidence: Mapping[str, Any] | None = None,
        declared: Mapping[str, Any] | None = None,
        promise: str = "",
        nodes: Iterable[str] = (),
        ms: float = 0.0,
    ) -> None:
        self.status = status
        self.seen = seen
        self.promised = promised
        self.cause = cause
        self.remedy = remedy
        self.evidence = dict(evidence or {})
        self.declared = dict(declared or {})
        self.promise = promise
        self.nodes = tuple(nodes)
        self.ms = ms

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as the published schema has it (docs/verdict.schema.json)."""
        out = {name: getattr(self, name) for name in self.__slots__}
        out["status"] = self.status.name
        out["nodes"] = list(self.nodes)
        out["ms"] = round(self.ms, 3)
        return out

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` wrote; raises ``KeyError`` on a status that does not exist."""
        fields = dict(record)
        return cls(Status[fields.pop("status")], fields.pop("seen"), **fields)

    def __repr__(self) -> str:
        return f"<{self.status.name} {self.promise} {','.join(self.nodes)}: {self.seen}>"


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """Return 0 ready, 1 not ready, 3 could not tell; nothing judged is not ready, but unknown."""
    seen = {verdict.status for verdict in verdicts}
    if Status.FAIL in seen:
        return EXIT_NOT_READY
    if Status.UNKNOWN in seen or not seen & {Status.PASS, Status.WARN}:
        return EXIT_UNKNOWN
    return EXIT_READY
