"""`ddlcheck demo`: the whole road on one machine: not ready, why, made ready, proven ready."""

from __future__ import annotations

import argparse
import pathlib
import shutil
import sys
import time
from typing import TYPE_CHECKING

from ddlcheck import remedy
from ddlcheck.cli import _options, cluster
from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.verdict import EXIT_NOT_READY, EXIT_READY

if TYPE_CHECKING:
    from ddlcheck.lab import Lab

HELP = "show the whole road on a practice cluster: not ready, site.yml, ready"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("--nodes", type=_options.positive, default=4, help="machines in the practice cluster (4)")
    parser.add_argument("--reports", type=pathlib.Path, default=pathlib.Path("reports"), metavar="DIR")
    parser.add_argument("--keep", action="store_true", help="leave the practice cluster up, to play with")


def run(args: argparse.Namespace) -> int:
    """Bring up, judge, mend, judge; each step has to come out as it should."""
    from ddlcheck.lab import lifecycle  # noqa: PLC0415 - only this needs it

    if args.nodes < 2:  # noqa: PLR2004 - a cluster
        raise UsageError("--nodes: a cluster has at least two")
    began = time.monotonic()
    args.reports.mkdir(parents=True, exist_ok=True)
    _title("1. Machines as they come from the rack", "ddlcheck lab up")
    practice = lifecycle.up("demo", args.nodes, _say)
    try:
        _road(practice, args)
    finally:
        if not args.keep:
            lifecycle.down("demo")
    _title("Done", "")
    print(f"{args.nodes} machines, from not ready to proven ready in {time.monotonic() - began:.0f} s.")
    print(f"Reports: {args.reports.resolve()}/before.json, after.json, after.xml (JUnit)")
    if args.keep:
        print("The practice cluster is up: ddlcheck lab ssh --name demo minsky1; ddlcheck lab down --name demo")
    else:
        print("To keep the cluster and play with it: ddlcheck demo --keep, or ddlcheck lab up")
    return EXIT_READY


def _road(practice: Lab, args: argparse.Namespace) -> None:
    inventory = str(practice.inventory)
    _title("2. Is it ready?", f"ddlcheck cluster {inventory}")
    status = _prove(inventory, args.reports / "before.json", args.reports / "before.xml")
    if status != EXIT_NOT_READY:
        raise DdlcheckError(f"machines from the rack should be found not ready (1), not {status}")
    _title("3. Make it ready", remedy.command(inventory))
    remedy.apply(inventory)
    _title("4. Is it ready now?", f"ddlcheck cluster {inventory}")
    status = _prove(inventory, args.reports / "after.json", args.reports / "after.xml")
    if status != EXIT_READY:
        raise DdlcheckError(f"after site.yml the cluster should be proven ready (0), not {status}")


def _prove(inventory: str, json: pathlib.Path, junit: pathlib.Path) -> int:
    parser = argparse.ArgumentParser()
    cluster.configure(parser)
    return cluster.run(parser.parse_args([inventory, "--json", str(json), "--junit", str(junit)]))


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _title(text: str, command: str) -> None:
    width = min(shutil.get_terminal_size().columns, 100)
    print(f"\n== {text} ".ljust(width, "="), flush=True)
    if command:
        print(f"$ {command}", flush=True)
    sys.stdout.flush()
