"""`ddlcheck node`: what one node can prove by itself, on the node itself."""

from __future__ import annotations

import pathlib
import sys
import time

from ddlcheck import checks as all_checks
from ddlcheck import run as runner
from ddlcheck import saved
from ddlcheck.errors import UsageError
from ddlcheck.probes import local
from ddlcheck.verdict import Status, Verdict, exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ddlcheck.intent import Intent

HELP = "prove this machine alone, against an intent file that was kept (cluster --save DIR)"
DEFAULT = pathlib.Path("/etc/ddlcheck/intent.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("--intent", type=pathlib.Path, default=DEFAULT, metavar="FILE", help=f"default: {DEFAULT}")
    parser.add_argument("--node", default="", metavar="NAME", help="which node of it this is (default: by host name)")
    parser.add_argument("--only", default="", metavar="CHECK,…", help="judge only these promises")
    parser.add_argument("--skip", default="", metavar="CHECK,…", help="judge all but these promises")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds all of it may take (30)")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--verbose", "-v", action="store_true", help="one line for what was kept, too")


def run(args: argparse.Namespace) -> int:
    """Gather here, judge, and say so in as few lines as there are troubles."""
    if not 1 <= args.timeout <= 3600:  # noqa: PLR2004 - also refuses nan
        raise UsageError(f"--timeout {args.timeout}: from 1 to 3600 seconds")
    checks = runner.select(args.only, args.skip)
    intent = _mine(saved.load_intents(args.intent), args)
    began = time.monotonic()
    here = {name: check for name, check in checks.items() if getattr(check, "NODE_LOCAL", True)}
    wanted = runner.plan(here, {intent.node: intent}, [intent.node])[intent.node]
    agent = {key: want for key, want in wanted.items() if want["op"] not in runner.STAGED}
    gathered: runner.Gathered = {intent.node: local.gather(agent, args.timeout)}
    alone = {name: _Alone(check) for name, check in here.items()}
    verdicts = runner.judge(alone, {intent.node: intent}, gathered)
    verdicts += [
        Verdict(Status.SKIP, "spans nodes: `ddlcheck cluster` judges it", promise=name, nodes=(intent.node,))
        for name in checks
        if name not in here
    ]
    if args.json:
        import json  # noqa: PLC0415

        print(json.dumps({"schema": 1, "node": intent.node, "exit": exit_status(verdicts),
                          "verdicts": [v.to_json() for v in verdicts]}, indent=1))  # fmt: skip
    else:
        _say(verdicts, intent, time.monotonic() - began, verbose=args.verbose)
    return exit_status(verdicts)


class _Alone:
    """A check without its `judge_together`: there is nobody to compare with."""

    def __init__(self, check: all_checks.Check) -> None:
        self.__name__ = check.__name__
        self.__doc__ = check.__doc__
        self.wants = check.wants
        self.judge = check.judge


def _mine(intents: Mapping[str, Intent], args: argparse.Namespace) -> Intent:
    if args.node:
        if args.node not in intents:
            raise UsageError(f"{args.intent}: holds no node {args.node!r}, only {', '.join(list(intents)[:8])}")
        return intents[args.node]
    import socket  # noqa: PLC0415

    host = socket.gethostname()
    short = host.partition(".")[0]
    found = [i for i in intents.values() if {host, short} & set(i.names)]
    if len(found) != 1:
        raise UsageError(f"{args.intent}: says nothing of a node called {host!r}: give --node NAME")
    return found[0]


def _say(verdicts: list[Verdict], intent: Intent, seconds: float, *, verbose: bool) -> None:
    from ddlcheck.report import lines  # noqa: PLC0415

    sys.stdout.write(lines.render(intent.node, verdicts, seconds, verbose=verbose))
