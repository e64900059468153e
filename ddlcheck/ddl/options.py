"""DDL's own options, ``-mode b:4x2x1 -dev_sync 1``: read, compared with the job, passed on."""

from __future__ import annotations

import re
import shlex
from math import prod
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What ``-mode`` may begin with.
MODES = {
    "r": "ring", "n": "NCCL", "b": "enhanced NCCL", "m": "MPI", "c": "RCS", "p": "the best for each dimension",
}  # fmt: skip
_RANGES = {"-dev_sync": range(3), "-dbg_level": range(3), "-dump_iter": None, "-rebind_iter": None}


class Options(NamedTuple):
    """The options as words, and what the mode says; ``dims`` is empty when it says none."""

    words: tuple[str, ...]
    mode: str = ""
    dims: tuple[int, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.words)


def parse_options(text: str) -> Options:
    """Read DDL's options; raises `UsageError`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--ddl {text!r} cannot be split into words: {error}") from error
    if len(words) % 2 or not words:
        raise UsageError(f'--ddl {text!r} is not options with a value each, such as "-mode b:4x2x1 -dev_sync 1"')
    mode = ""
    dims: tuple[int, ...] = ()
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "-mode":
            mode, dims = _mode(value)
        else:
            _number(name, value)
    return Options(tuple(words), mode, dims)


def _mode(value: str) -> tuple[str, tuple[int, ...]]:
    letter, colon, sizes = value.partition(":")
    if letter not in MODES:
        known = ", ".join(f"{key} ({what})" for key, what in MODES.items())
        raise UsageError(f"-mode {value}: DDL's modes are {known}")
    if colon and not re.fullmatch(r"[1-9][0-9]{0,6}(?:x[1-9][0-9]{0,6}){0,7}", sizes):
        raise UsageError(f"-mode {value}: after the colon come dimensions such as 4x2x1")
    return letter, tuple(int(size) for size in sizes.split("x")) if colon else ()


def _number(name: str, value: str) -> None:
    if name not in _RANGES:
        raise UsageError(f"{name} is not an option of DDL: -mode, {', '.join(_RANGES)}")
    allowed = _RANGES[name]
    if not re.fullmatch(r"[0-9]{1,9}", value) or (allowed is not None and int(value) not in allowed):
        what = ", ".join(str(one) for one in allowed) if allowed is not None else "a number"
        raise UsageError(f"{name} {value}: it takes {what}")


def check_ranks(options: Options, ranks: int) -> None:
    """Raise `UsageError` unless the mode's dimensions make up the ranks (DDL: ``invalid dim size``)."""
    if options.dims and prod(options.dims) != ranks:
        sizes = "x".join(str(size) for size in options.dims)
        raise UsageError(
            f"-mode {options.mode}:{sizes} is for {prod(options.dims)} ranks, "
            f"and {ranks} {'is' if ranks == 1 else 'are'} launched; DDL ends with 'invalid dim size'"
        )


def for_command(options: Options, command: Sequence[str]) -> list[str]:
    """Return the command with the options where it wants them: caffe takes them as an argument."""
    if PurePath(command[0]).name in ("caffe", "caffe.bin") and options.words:
        if "-ddl" in command:
            raise UsageError("the options of DDL are given twice, by --ddl and in caffe's own -ddl")
        return [*command, "-ddl", str(options)]
    return list(command)
