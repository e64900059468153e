"""What can go wrong that is not a verdict.

::

    DdlcheckError
    ├── UsageError        the user's own words: one sentence, exit 2
    │   └── InventoryError    the inventory or a declared variable, with file and key
    ├── NotSeen           a judge asked for something that was not gathered: UNKNOWN
    └── NodeError         a node could not be asked: UNKNOWN for all its promises

Anything else is a bug, and is shown as one.
"""


class DdlcheckError(Exception):
    """The base of every error that is meant for a reader."""


class UsageError(DdlcheckError):
    """Bad input; the message is one sentence that says what and where."""


class InventoryError(UsageError):
    """The inventory, or a variable in it, cannot be used."""


class NotSeen(DdlcheckError):  # noqa: N818 - reads as what happened: `except NotSeen`
    """What a judge needs is not there; the message says why."""


class NodeError(DdlcheckError):
    """A node could not be asked.

    ``reason`` is one of ``refused``, ``no route``, ``timeout``, ``closed``, ``host key unknown``,
    ``host key changed``, ``key refused``, ``name``, ``no python``, ``privilege``, ``garbage``,
    ``too much``, ``disk full``, ``interrupted``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
