"""`ddlcheck launch`: compose the mpirun line for the Open MPI that is there, look first, and run it."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING

from ddlcheck.ddl import dialect, here, layout, options, precheck, rankfile, rundir, sources, stream
from ddlcheck.ddl.ask import ask_all, way_to
from ddlcheck.ddl.dims import parse_dims
from ddlcheck.ddl.seen import Seen, script
from ddlcheck.errors import UsageError
from ddlcheck.report import Result, text
from ddlcheck.verdict import EXIT_READY, exit_status

if TYPE_CHECKING:
    from ddlcheck.ddl.dialect import Mpi
    from ddlcheck.ddl.dims import Dims
    from ddlcheck.ddl.rundir import RunDir
    from ddlcheck.ddl.sources import Source

HELP = "look at the hosts, compose the mpirun line for the Open MPI that is there, and run it"
#: What each look before a launch is about, for the report.
PROMISES = {
    "ssh_mesh": "mpirun reaches every host", "hostname": "every host has the name that is used for it",
    "hosts_file": "names lead to the hosts that are meant", "memlock": "ranks may lock memory",
    "openmpi": "every host has the same Open MPI", "rankfile": "every rank has a slot and cores",
    "gpu": "every rank has a GPU",
}  # fmt: skip
#: How many causes are told, and how much of a line without an end is read at a time.
_CAUSES, _LINE = 3, 65536
_SIGNALLED = 128
#: The launching host, among those that are asked.
_HERE = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    add = parser.add_argument
    parser.usage = "%(prog)s [options] -- COMMAND..."
    add("-H", "--host", metavar="HOST[:SLOTS],…", help="the hosts, ordered by rack; sys-[89074-89079] is unfolded")
    add(
        "--inventory",
        metavar="INVENTORY",
        help="its hosts, under their names for MPI (inside a Slurm or PBS job: nothing)",
    )
    add("--gpus", type=_positive, metavar="N", help="ranks on each host, one for each GPU (slots, or the GPUs found)")
    add(
        "--mode",
        type=parse_dims_word,
        metavar="XxYxZ",
        help="GPUs per host x hosts per rack x racks (GPUs x hosts x 1)",
    )
    add("--sockets", type=_positive, metavar="N", help="sockets of a host, instead of asking it")
    add("--cores", type=_positive, metavar="N", help="cores of a socket to use")
    add("--env", nargs="+", action="extend", default=[], metavar="NAME", help="environment variables the ranks get")
    add("--ddl", metavar="OPTIONS", help='options of DDL, such as "-mode b:4x2x1 -dev_sync 1"')
    add("--interface", default="", metavar="NAME|CIDR", help="keep MPI's TCP and the launcher's own traffic on it")
    add("--mpirun", default="mpirun", metavar="PROGRAM", help="the mpirun to use (the one on PATH)")
    add("--mpiarg", action="append", default=[], metavar="WORDS", help="more words for mpirun: --mpiarg=--tag-output")
    add("--run-dir", metavar="DIR", help="where rank file, host file and log go, and stay")
    add("--no-verify", action="store_true", help="do not look at the hosts first")
    add("--print", action="store_true", help="print the line, and do no more")
    add("command", nargs="*", metavar="COMMAND", help=argparse.SUPPRESS)


def _positive(word: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 1 to 99999")
    return int(word)


def parse_dims_word(word: str) -> Dims:
    """Read ``--mode`` for argparse, which has its own way to word an error."""
    try:
        return parse_dims(word)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(args: argparse.Namespace) -> int:
    """Look, write, print, run."""
    if not args.command:
        raise UsageError("say what to launch, after --")
    given = options.parse_options(args.ddl) if args.ddl else options.Options(())
    wanted = layout.Wanted(args.gpus, args.mode, args.sockets, args.cores)
    source = sources.choose(args.host, args.inventory)
    mpi = here.find_mpi(args.mpirun)
    if mpi is None:
        raise UsageError(f"there is no program {args.mpirun}: name one with --mpirun, or apply role openmpi")
    manager = source.hosts.manager if source.hosts.manager and here.knows(mpi, source.hosts.manager) else ""
    names = _env(args.env, given)
    looking = not (args.no_verify or args.print)
    began = time.monotonic()
    # What can be wrong about the words is said before anybody is asked.
    interface, mpiargs = _interface(args.interface or source.interface), _split(args.mpiarg)
    seen = _ask(mpi, source) if looking or (layout.asks(wanted, source.hosts) and not args.no_verify) else {}
    at_home = seen.pop(_HERE, Seen({}))
    dims = layout.dims(wanted, source.hosts, seen)
    options.check_ranks(given, dims.ranks)
    command = options.for_command(given, args.command)
    if looking:
        status = _verify(precheck.Plan(
            mpi, dict.fromkeys(source.hosts, dims.gpus), source.hosts, at_home, manager,
            layout.gpus_said(wanted, source.hosts) is not None, source.memlock,
        ), seen, time.monotonic() - began)  # fmt: skip
        if status != EXIT_READY:
            return status
    elif not args.print:
        _say("the hosts were not looked at (--no-verify)")
    text_ = rankfile.render(dims, rankfile.place(dims, list(source.hosts), layout.shapes(wanted, source.hosts, seen)))
    folder = rundir.make(args.run_dir)
    folder.write(text_, dialect.hostfile(dict.fromkeys(source.hosts, dims.gpus)))
    line = dialect.compose(mpi, dialect.Job(
        dims.ranks, str(folder.rankfile), str(folder.hostfile), command, names, manager,
        interface, mpiargs,
    ), os.environ, here.libdir(mpi.prefix))  # fmt: skip
    copyable = shlex.join([*(["env", f"DDL_OPTIONS={given}"] if given.words else []), *line])
    if args.print:
        print(copyable)
        return EXIT_READY
    print(copyable, file=sys.stderr, flush=True)
    return _launch(line, folder, {"DDL_OPTIONS": str(given)} if given.words else {})


def _say(sentence: str) -> None:
    print(f"ddlcheck: {sentence}", file=sys.stderr, flush=True)


def _env(names: list[str], given: options.Options) -> list[str]:
    """Return the names to export; a value on the command line would stand in the process list of every node."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"--env {name.partition('=')[0]}: a name, whose value is taken from this environment")
        if name not in os.environ and name != "DDL_OPTIONS":
            _say(f"--env {name}: it is not set here, and so not passed on")
    wanted = [name for name in names if name in os.environ]
    return list(dict.fromkeys([*wanted, *(["DDL_OPTIONS"] if given.words else [])]))


def _interface(word: str) -> str:
    if word and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:/,-]*", word):
        raise UsageError(f"{word!r} is neither an interface nor a network such as 10.1.0.0/16")
    for part in filter(None, word.split(",")):
        try:
            known = here.carries(part)
        except ValueError as error:
            raise UsageError(f"{part!r} is not a network such as 10.1.0.0/16") from error
        if not known:
            raise UsageError(f"this host has no interface {part!r}, only {', '.join(here.interfaces())}")
    return word


def _split(words: list[str]) -> list[str]:
    try:
        return [part for word in words for part in shlex.split(word)]
    except ValueError as error:
        raise UsageError(f"--mpiarg cannot be split into words: {error}") from error


def _ask(mpi: Mpi, source: Source) -> dict[str, Seen]:
    ways = {host: way_to(host, source.hosts.manager) for host in source.hosts}
    return ask_all({_HERE: ["/bin/sh", "-s"], **ways}, script(mpi.daemon, mpi.prefix))


def _verify(plan: precheck.Plan, seen: dict[str, Seen], seconds: float) -> int:
    """Report what stands in the way, and return the exit status of the look alone."""
    verdicts = precheck.judge(plan, seen)
    result = Result("", tuple(seen), PROMISES, verdicts, time.time() - seconds, seconds)
    print(text.render(result, colour=sys.stderr.isatty()), file=sys.stderr, end="", flush=True)
    return exit_status(verdicts)


def _launch(line: list[str], folder: RunDir, more: dict[str, str]) -> int:
    told: list[str] = []
    try:
        code = stream.run(line, folder.log, {**os.environ, **more}, told)
    except OSError as error:
        raise UsageError(f"{line[0]} does not start: {error.strerror}") from error
    if code:
        _say(f"mpirun ended with status {code}{_signal(code)}; its log is {folder.log}")
        if told:
            _say(f"it was ended by {told[0]}, which came from outside")
        else:
            _explain(folder)
    else:
        folder.remove()
    return code


def _signal(code: int) -> str:
    """Return the signal that a shell's kind of status stands for: no text in the log says that of a rank."""
    known = code > _SIGNALLED and code - _SIGNALLED in set(signal.Signals)
    return f" ({signal.Signals(code - _SIGNALLED).name})" if known else ""


def _explain(folder: RunDir) -> None:
    """Say what the log says of causes, the first one first: what else is in it mostly follows from that."""
    from ddlcheck import explain  # noqa: PLC0415 - only a failure needs it
    from ddlcheck.report.lines import remedy_words  # noqa: PLC0415

    with folder.log.open(encoding="utf-8", errors="replace") as log:
        found = explain.read(iter(lambda: log.readline(_LINE), ""))
    for one in found[:_CAUSES]:
        where = f"line {one.line}: {one.text[:120]}" + (f"; {', '.join(one.hosts[:8])}" if one.hosts else "")
        _say(f"cause: {one} ({where}); remedy: {remedy_words(one.cause.remedy)}")
    if not found:
        _say("no cause that is known here stands in it")
