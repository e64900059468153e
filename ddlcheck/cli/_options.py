"""What several verbs share: options that mean the same everywhere, and where reports go."""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import sys
from typing import TYPE_CHECKING, Any

from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.intent import Intent
    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.report import Result


#: The options that write the result for machines.
FORMS = ("json", "junit", "prometheus")


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 0 < value <= 4096:  # noqa: PLR2004 - more threads than that help nobody
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 4096")
    return value


def seconds(text: str) -> float:
    """Parse a duration of at least a second."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86400:  # noqa: PLR2004 - a day; also refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 86400")
    return value


def variables(words: list[str]) -> dict[str, Any]:
    """Read ``VAR=VALUE`` words as YAML values; raises `UsageError`."""
    import yaml  # noqa: PLC0415 - rarely needed

    out = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--extra-vars takes VAR=VALUE, not {word!r}")
        try:
            found = yaml.safe_load(value)
        except yaml.YAMLError as exc:
            raise UsageError(f"--extra-vars {name}: {' '.join(str(exc).split())}") from exc
        out[name] = "" if found is None else found
    return out


def reports(parser: argparse.ArgumentParser) -> None:
    """Declare where reports go."""
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the whole result as JSON")
    parser.add_argument("--junit", type=pathlib.Path, metavar="FILE", help="write it as JUnit XML")
    parser.add_argument(
        "--prometheus", type=pathlib.Path, metavar="FILE", help="write it as metrics (textfile collector)"
    )
    parser.add_argument("--verbose", "-v", action="count", default=0, help="show what was kept, too")
    parser.add_argument("--colour", "--color", choices=("auto", "always", "never"), default="auto")


def writable(args: argparse.Namespace) -> None:
    """Refuse a report that cannot be written before any node is asked, not after."""
    for option in FORMS:
        path = getattr(args, option, None)
        if path is None or str(path) == "-":
            continue
        if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"--{option} {path}: cannot be written there")


def measured(gathered: Mapping[str, Any], intents: Mapping[str, Intent]) -> Matrix | None:
    """Return what every pair achieved, from the answers of the fabric stage; None where it measured nothing."""
    from ddlcheck.wants import key  # noqa: PLC0415

    want = key({"op": "fabric"})
    answers = {n: got[want].data for n, got in gathered.items() if isinstance(got, dict) and want in got}
    parts = {node: data for node, data in answers.items() if isinstance(data, dict) and "pairs" in data}
    if not any(part["pairs"] for part in parts.values()):
        return None
    from ddlcheck.judging import matrix  # noqa: PLC0415 - numpy

    racks = {node: rack for node, intent in intents.items() if (rack := str(intent["fabric_rack"]))}
    return matrix.from_pairs(list(gathered), [pair for part in parts.values() for pair in part["pairs"]], racks)


def emit(result: Result, args: argparse.Namespace) -> None:
    """Print the text report, and write the files that were asked for."""
    from ddlcheck import saved  # noqa: PLC0415
    from ddlcheck.report import json, junit, prometheus, text  # noqa: PLC0415

    to_stdout = [o for o in FORMS if str(getattr(args, o)) == "-"]
    for option, render in zip(FORMS, (json.render, junit.render, prometheus.render), strict=True):
        path = getattr(args, option)
        if path is not None and str(path) != "-":
            saved.write(path, render(result))
        elif path is not None:
            sys.stdout.write(render(result))
    if to_stdout:
        return
    terminal = sys.stdout.isatty()
    colour = args.colour == "always" or (args.colour == "auto" and terminal and "NO_COLOR" not in os.environ)
    width = shutil.get_terminal_size().columns if terminal else 0
    sys.stdout.write(text.render(result, colour=colour, width=width, verbose=args.verbose))
