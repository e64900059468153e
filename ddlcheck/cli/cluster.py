"""`ddlcheck cluster`: every promise, on every node, between nodes."""

from __future__ import annotations

import pathlib
import sys
import time
from typing import TYPE_CHECKING

from ddlcheck import checks as all_checks
from ddlcheck import inventory, saved
from ddlcheck import run as runner
from ddlcheck.cli import _options
from ddlcheck.errors import NodeError, UsageError
from ddlcheck.report import Result

if TYPE_CHECKING:
    import argparse

    from ddlcheck.checks import Check
    from ddlcheck.wants import Answer

HELP = "prove that a cluster is ready, or say what is not, why, and which role mends it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("inventory", nargs="?", help="any Ansible inventory: file, directory, script, or a,b,")
    parser.add_argument("--limit", "-l", default="", metavar="PATTERN", help="judge only these hosts or groups")
    parser.add_argument("--only", default="", metavar="CHECK,…", help="judge only these promises")
    parser.add_argument("--skip", default="", metavar="CHECK,…", help="judge all but these promises")
    parser.add_argument("--forks", "-f", type=_options.positive, default=64, help="nodes asked at once (64)")
    parser.add_argument(
        "--timeout", type=_options.seconds, default=60.0, metavar="S", help="seconds a node may take (60)"
    )
    parser.add_argument(
        "--time-budget", type=_options.seconds, default=600.0, metavar="S", help="seconds for the fabric (600)"
    )
    parser.add_argument(
        "--extra-vars", "-e", action="append", default=[], metavar="VAR=VALUE", help="override a declared variable"
    )
    parser.add_argument("--vault-password-file", default="", metavar="FILE")
    parser.add_argument("--save", type=pathlib.Path, metavar="DIR", help="keep what was promised and seen")
    parser.add_argument("--replay", type=pathlib.Path, metavar="DIR", help="judge what was kept; touches no node")
    _options.reports(parser)


def run(args: argparse.Namespace) -> int:
    """Gather, judge, render."""
    result = prove(args)
    _options.emit(result, args)
    return result.exit


def prove(args: argparse.Namespace) -> Result:
    """Gather and judge."""
    checks = runner.select(args.only, args.skip)
    _options.writable(args)
    began, clock = time.time(), time.monotonic()
    if args.replay:
        if args.inventory or args.save or args.limit or args.extra_vars or args.vault_password_file:
            raise UsageError("--replay judges what was kept as it was kept: only --only, --skip and reports go with it")
        intents = saved.load_intents(args.replay / "intent.json")
        gathered = saved.load_seen(args.replay, intents)
        source = ""
    else:
        if not args.inventory:
            raise UsageError("give an inventory, or --replay DIR")
        found = inventory.load(
            args.inventory,
            limit=args.limit,
            vault_password_file=args.vault_password_file,
            extra_vars=_options.variables(args.extra_vars),
        )
        intents, source = dict(found.intents), found.source
        if args.save:
            saved.save_intents(args.save / "intent.json", intents)
        gathered = _gather(found, checks, args)
        if args.save:
            saved.save_seen(args.save, gathered)
    verdicts = runner.judge(checks, intents, gathered)
    return Result(
        source=source,
        nodes=tuple(gathered),
        promises={name: all_checks.promise(check) for name, check in checks.items()},
        verdicts=verdicts,
        started=began,
        seconds=time.monotonic() - clock,
        own_names={n: (*intents[n].names, *intents[n].addresses.values()) for n in gathered},
        fabric=_options.measured(gathered, intents),
    )


def _gather(
    found: inventory.Inventory, checks: dict[str, Check], args: argparse.Namespace
) -> dict[str, dict[str, Answer] | NodeError]:
    from ddlcheck.cli import _progress  # noqa: PLC0415
    from ddlcheck.probes import transport  # noqa: PLC0415 - a replay needs none of it

    names = [node.name for node in found.nodes]
    wanted = runner.plan(checks, found.intents, names)
    with _progress.Progress(len(names), quiet=not sys.stderr.isatty()) as progress:
        try:
            gathered = runner.gather(
                found.nodes, wanted, transport.ask, forks=args.forks, timeout=args.timeout, progress=progress.node
            )
            up = [node for node in found.nodes if not isinstance(gathered[node.name], NodeError)]
            if "nfs" in checks and up:
                runner.share(
                    found.nodes, gathered, found.intents, transport.ask,
                    forks=args.forks, timeout=args.timeout, progress=progress.say,
                )  # fmt: skip
            if "fabric" in checks and up:
                from ddlcheck.probes.head import AgentHead  # noqa: PLC0415

                progress.say("MPI between pairs")
                user = str(found.intents[up[0].name]["ssh_mesh_user"])
                runner.measure(AgentHead(up[0], user), gathered, found.intents, time_budget=args.time_budget)
        finally:
            transport.close()
    return gathered
