"""`ddlcheck gate`: every node of a job, and what is between them, before the job; then the job."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from ddlcheck.cli import _options
from ddlcheck.errors import UsageError
from ddlcheck.gates import nodes as which
from ddlcheck.gates.ask import LAUNCHER
from ddlcheck.gates.job import Gate, say
from ddlcheck.verdict import EXIT_READY

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping, Sequence

    from ddlcheck.report import Result
    from ddlcheck.verdict import Verdict

HELP = "prove every node of a job and what is between them, then run a command in its place"
#: What a word of COMMAND may hold, and what stands there when it is run.
_PLACES = ("hostfile", "rankfile", "nodes", "excluded", "count")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    add = parser.add_argument
    parser.usage = "%(prog)s [options] [-- COMMAND...]"
    add("-H", "--host", metavar="HOST[:SLOTS],…", help="the nodes (by default those of the job it is in)")
    add("--hostfile", metavar="FILE", help="the nodes, as mpirun reads them")
    add("--inventory", metavar="INVENTORY", help="the nodes' connection and promises; without the others, its nodes")
    add("--exclude-bad", action="store_true", help="go on without the nodes that are not ready")
    add("--min-nodes", type=_options.positive, default=1, metavar="N", help="nodes that have to be left (1)")
    add("--gpus", type=_options.positive, metavar="N", help="ranks on each node (its slots, or the GPUs found)")
    add("--budget", type=_budget, default=30.0, metavar="S", help="seconds for MPI between pairs (30), 0: none")
    add(
        "--deadline",
        type=_options.seconds,
        default=120.0,
        metavar="S",
        help="seconds until COMMAND starts or not (120)",
    )
    add("--max-age", type=_options.seconds, default=600.0, metavar="S", help="of the verdict that root kept on a node")
    add("--launcher", default=LAUNCHER, metavar="PROGRAM", help=f"the gate on the nodes ({LAUNCHER})")
    add("--mpirun", metavar="PROGRAM", help="the mpirun of the job (the one on PATH, if any)")
    add("--run-dir", metavar="DIR", help="where host file and rank file go (below ~/.local/state/ddlcheck)")
    add("--dry-run", action="store_true", help="look, and say what would be run")
    add("command", nargs="*", metavar="COMMAND", help=argparse.SUPPRESS)
    _options.reports(parser)


def _budget(text: str) -> float:
    return 0.0 if text in ("0", "0.0") else _options.seconds(text)


def run(args: argparse.Namespace) -> int:
    """Look, report, run."""
    _options.writable(args)
    if args.command and shutil.which(args.command[0]) is None:
        raise UsageError(f"there is no program {args.command[0]} to run")
    if args.command and "-" in (str(args.json), str(args.junit)):
        raise UsageError("standard output is COMMAND's: give --json and --junit a file")
    chosen = which.choose(args.host, args.hostfile, args.inventory)
    began, clock = time.time(), time.monotonic()
    gate = Gate(args, chosen, clock + args.deadline)
    verdicts = gate.judge()
    result = _result(chosen, verdicts, began, time.monotonic() - clock)
    _report(result, args)
    good, status = gate.good(verdicts)
    if status != EXIT_READY:
        return status
    folder, env = gate.files(good)
    command = _filled(args.command, env)
    if command and not args.dry_run:
        _become(command, env)
    if args.dry_run:
        say(f"would run: {shlex.join(command)}" if command else "there is no command to run")
    folder.remove()
    return status


def _result(chosen: which.Chosen, verdicts: Sequence[Verdict], began: float, seconds: float) -> Result:
    from ddlcheck import checks  # noqa: PLC0415
    from ddlcheck.report import Result  # noqa: PLC0415

    known = checks.names()
    named = dict.fromkeys(v.promise for v in verdicts)
    said = {"rankfile": "Every rank has a slot and cores.", "gpu": "Every rank has a GPU.",
            "health_gate": "Every node's own gate says that it is ready."}  # fmt: skip
    promises = {p: checks.promise(checks.load([p])[p]) if p in known else said.get(p, p) for p in named}
    nodes = tuple(node.name for node in chosen.nodes)
    return Result(chosen.source, nodes, promises, verdicts, began, seconds, {name: (name,) for name in nodes})


def _report(result: Result, args: argparse.Namespace) -> None:
    """Say it on stderr, for standard output is the command's; and write the files."""
    from ddlcheck import saved  # noqa: PLC0415
    from ddlcheck.report import json, junit, text  # noqa: PLC0415

    for option, render in (("json", json.render), ("junit", junit.render)):
        path: pathlib.Path | None = getattr(args, option)
        if path is not None and str(path) != "-":
            saved.write(path, render(result))
        elif path is not None:
            sys.stdout.write(render(result))
    colour = args.colour == "always" or (args.colour == "auto" and sys.stderr.isatty() and "NO_COLOR" not in os.environ)
    sys.stderr.write(text.render(result, colour=colour, verbose=args.verbose))
    sys.stderr.flush()


def _filled(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the command with what ``{hostfile}`` and the like stand for."""
    out = []
    for word in command:
        filled = word
        for place in _PLACES:
            filled = filled.replace(f"{{{place}}}", env.get(place, ""))
        out.append(filled)
    return out


def _become(command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become the command: its signals, its exit status and its process are then the job's own."""
    told = {f"DDLCHECK_{place.upper()}": value for place, value in env.items()}
    # Python ignores it, and what is ignored stays so in the command.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), {**os.environ, **told})  # noqa: S606 - becoming it is the point
    except OSError as error:
        raise UsageError(f"{command[0]} does not start: {error.strerror}") from error
