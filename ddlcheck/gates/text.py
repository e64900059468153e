"""JSON without importing ``json``, which costs as much as starting Python does.

CPython keeps the two halves that do the work in C; where they are missing or behave otherwise, ``json`` itself is used.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Plain:
    """What the scanner asks of its decoder: no hooks, no bare control characters, no NaN."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is no JSON")


def loads(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value of a JSON text; raises ``ValueError`` or ``RecursionError``."""
    try:
        from _json import make_scanner  # noqa: PLC0415
    except ImportError:
        import json  # noqa: PLC0415

        return json.loads(text, parse_constant=_Plain.parse_constant)
    begin = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = make_scanner(_Plain())(text, begin)  # type: ignore[arg-type] # it asks for no more than these
    except StopIteration as exc:
        raise ValueError(f"no JSON value at character {exc.value}") from None
    if text[end:].strip(" \t\r\n"):
        raise ValueError(f"more than one JSON value: character {end}")
    return value


def dumps(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return the compact JSON of a value, keys sorted, ASCII only: equal values have equal texts."""
    try:
        from _json import encode_basestring_ascii, make_encoder  # noqa: PLC0415

        encode = make_encoder({}, _refuse, encode_basestring_ascii, None, ":", ",", True, False, False)  # noqa: FBT003
        return "".join(encode(value, 0))
    except (ImportError, TypeError):
        import json  # noqa: PLC0415

        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _refuse(value: object) -> str:
    raise TypeError(f"a {type(value).__name__} is no JSON")


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal; ``hashlib`` would load OpenSSL."""
    try:
        return str(__import__("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256(data).hexdigest())
    except (ImportError, AttributeError):
        pass
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(data).hexdigest()
