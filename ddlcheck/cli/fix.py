"""`ddlcheck fix`: judge, apply the roles that the failures name, judge again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ddlcheck import remedy
from ddlcheck.cli import _options, cluster
from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    import argparse

HELP = "apply the roles that mend what `ddlcheck cluster` finds broken, and prove it again"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words: those of `cluster`, and whether to ask."""
    cluster.configure(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before changing anything")
    parser.add_argument("--dry-run", "-n", action="store_true", help="say which roles would be applied, and stop")


def run(args: argparse.Namespace) -> int:
    """Judge, mend, judge."""
    if args.replay or not args.inventory:
        raise UsageError("fix needs an inventory: what was kept cannot be mended")
    before = cluster.prove(args)
    _options.emit(before, args)
    roles = remedy.roles_for(before.verdicts)
    if not roles:
        print("Nothing that a role could mend.")
        return before.exit
    print(f"\nTo apply: {remedy.command(args.inventory, roles)}")
    if args.dry_run:
        return before.exit
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("fix changes nodes: say --yes where nobody can be asked")
        if input("Apply these roles to the cluster? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return before.exit
    extra = [word for pair in args.extra_vars for word in ("--extra-vars", pair)]
    extra += ["--vault-password-file", args.vault_password_file] if args.vault_password_file else []
    remedy.apply(args.inventory, roles, extra=extra)
    return cluster.run(args)
