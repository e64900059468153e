"""Write a rank file in DDL's order, or judge one that is there."""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ddlcheck.ddl import dialect, dims, here, hosts, rankcheck, rankfile, sources
from ddlcheck.errors import UsageError
from ddlcheck.report import Result, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ddlcheck.ddl.rankcheck import RankFile
    from ddlcheck.ddl.rankfile import Machine
    from ddlcheck.verdict import Verdict

HELP = "write a rank file: GPUs per host x hosts per rack x racks; or judge one (--check)"
#: The slots of a host in a dry run that is not about slots.
_MANY = 4096
#: Open MPI up to here takes a rank file for an allocation; later ones do not.
_RANKFILE_ALLOCATES = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Say the words of this verb."""
    add = parser.add_argument
    add("what", nargs="?", metavar="XxYxZ|INVENTORY", help="the dimensions; with --check, the inventory")
    add("hosts", nargs="?", metavar="HOST[,HOST...]", help="Y*Z hosts, ordered by rack; sys-[89074-89079] is unfolded")
    add("-H", "--host", metavar="HOST[:SLOTS],...", help="the same as the argument")
    add(
        "--from-inventory",
        "--inventory",
        dest="inventory",
        metavar="INVENTORY",
        help="its hosts, under their names for MPI",
    )
    add("--sockets", type=int, help=f"sockets of a host ({rankfile.SOCKETS})")
    add("--cores", type=int, help=f"cores of a socket ({rankfile.CORES}); with --detect, how many of them to use")
    add("--detect", action="store_true", help="ask the hosts for sockets, cores and the socket of each GPU")
    add("--names", choices=("short", "fqdn", "allocation"), help="how hosts are called (in a job: allocation)")
    add("--dialect", choices=("4", "5", "auto"), default="auto", help="the Open MPI to write for (the one on PATH)")
    add("--no-header", action="store_true", help="leave the comment out")
    add("-o", "--output", metavar="FILE", help="write there, whole or not at all")
    add("--check", metavar="FILE", help="judge FILE against INVENTORY, -H, or the job we are in")


def run(args: argparse.Namespace) -> int:
    """Write or judge."""
    for name in ("sockets", "cores"):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= 10000:  # noqa: PLR2004 - more than any machine has
            raise UsageError(f"--{name} {value}: a host has at least 1 and not more than 10000")
    return _check(args) if args.check else _write(args)


def _write(args: argparse.Namespace) -> int:
    if not args.what:
        raise UsageError("say the dimensions, such as 4x2x1 for one rack of two hosts with 4 GPUs each")
    sizes = dims.parse_dims(args.what)
    if args.hosts and args.host:
        raise UsageError("the hosts are named twice, as an argument and by -H")
    source = sources.choose(args.hosts or args.host, args.inventory)
    names = _named(list(source.hosts), args.names)
    dims.check_hosts(sizes, names)
    machines = _detected(names, args.cores) if args.detect else _declared(args)
    placed = rankfile.place(sizes, names, machines)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    notes = (
        dialect.note(sizes.ranks, dict.fromkeys(names, sizes.gpus))
        if _major(args.dialect) > _RANKFILE_ALLOCATES
        else []
    )
    head = [] if args.no_header else rankfile.header(sizes, names, machines, stamp, notes)
    written = rankfile.render(sizes, placed, head)
    if args.output:
        here.write_whole(Path(args.output), written)
    else:
        print(written, end="")
    return 0


def _major(wanted: str) -> int:
    """Return 4 or 5 for the kind of Open MPI that is meant; 0 where none is said and none is here."""
    if wanted != "auto":
        return int(wanted)
    found = here.find_mpi()
    return 0 if found is None else 5 if found.prrte else _RANKFILE_ALLOCATES


def _named(names: list[str], how: str | None) -> list[str]:
    if how == "short":
        return hosts.shorten(names)
    if how == "fqdn":
        return hosts.qualify(names, here.canonical)
    # The allocation's names are what `sources.choose` gives already, in a job; outside one, those given.
    return names


def _declared(args: argparse.Namespace) -> Machine:
    cores, sockets = args.cores or rankfile.CORES, args.sockets or rankfile.SOCKETS
    return rankfile.Machine((cores,) * sockets)


def _detected(names: list[str], cores: int | None) -> dict[str, Machine]:
    from ddlcheck.ddl import machines  # noqa: PLC0415 - asks over ssh

    job = sources.job()
    return machines.ask(names, job.manager if job else "", cores)


def _check(args: argparse.Namespace) -> int:
    if args.hosts:
        raise UsageError(f"--check takes a file and an inventory, or -H; {args.hosts} is one word too many")
    source = sources.choose(args.host, args.inventory or args.what)
    file = rankcheck.parse(here.read_text(args.check))
    verdicts = rankcheck.judge(file, source.hosts, _known(args, file, list(source.hosts)), source.said)
    if _major(args.dialect) == _RANKFILE_ALLOCATES:
        verdicts += filter(None, [rankcheck.relative(file, source.hosts.manager)])
    verdicts += _dry_run(args, file, source)
    for verdict in verdicts:
        verdict.nodes = verdict.nodes or tuple(source.hosts)
    result = Result("", tuple(source.hosts), {rankcheck.PROMISE: args.check}, verdicts, time.time(), 0.0)
    print(text.render(result, colour=sys.stdout.isatty(), verbose=1), end="")
    return result.exit


def _known(args: argparse.Namespace, file: RankFile, names: list[str]) -> Mapping[str, Machine] | None:
    """Return what is known of each host: asked, declared here, or claimed by the file's own comment."""
    if args.detect:
        return _detected(names, args.cores)
    one = _declared(args) if args.cores or args.sockets else rankcheck.claimed(file)
    return dict.fromkeys(names, one) if one else None


def _dry_run(args: argparse.Namespace, file: RankFile, source: sources.Source) -> list[Verdict]:
    """Let Open MPI 5 read the file, where it is there: no ssh, no rank."""
    from ddlcheck.ddl.ask import is_local  # noqa: PLC0415 - not needed to write

    mpi = here.find_mpi() if args.dialect != "4" else None
    if mpi is None or not mpi.prrte or not file.entries:
        return []
    with tempfile.TemporaryDirectory(prefix="ddlcheck-") as folder:
        listed = Path(folder, "hosts")
        listed.write_text(
            dialect.hostfile({host: slots or _MANY for host, slots in source.hosts.items()}), encoding="utf-8"
        )
        line = dialect.dry_run(
            mpi, str(Path(args.check).absolute()), str(listed), len(file.entries), root=os.geteuid() == 0
        )
        said = here.output(line)
    return [rankcheck.dry_run(said, here_is_a_host=any(is_local(host) for host in source.hosts))]
