"""`ddlcheck import-nhc`: what an nhc.conf demands, as declared values; and every line that could not be turned."""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

from ddlcheck import rules, saved
from ddlcheck.errors import UsageError
from ddlcheck.nhc import hosts

if TYPE_CHECKING:
    import argparse

HELP = "turn the checks of an LBNL NHC configuration into declared values"
_MOST = 4 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("conf", type=pathlib.Path, help="nhc.conf")
    parser.add_argument("--inventory", "-i", default="", help="whose hosts the patterns in it are resolved with")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write the YAML there (default: print it)")


def run(args: argparse.Namespace) -> int:
    """Turn, print, and say what is left; 0 when every line was turned, 1 when one was not."""
    try:
        text = args.conf.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise UsageError(f"{args.conf}: {exc.strerror}") from exc
    if len(text) > _MOST or "\0" in text:
        raise UsageError(f"{args.conf}: is no configuration of NHC")
    known = []
    if args.inventory:
        from ddlcheck import inventory  # noqa: PLC0415 - Ansible's loader is slow, and seldom wanted

        known = [node.name for node in inventory.load(args.inventory).nodes]
    found = hosts.load(text, known)
    for values in (found.everyone, *found.hosts.values()):
        wrong = rules.broken(values)
        if wrong:
            raise UsageError(f"{args.conf}: {wrong[1]}")
    if not found.turned and not found.left:
        raise UsageError(f"{args.conf}: holds no check: NHC passes every node by it")
    yaml = hosts.render(found)
    if args.out:
        saved.write(args.out, yaml)
    else:
        sys.stdout.write(yaml)
    for what, said in (("in part", found.part), ("not turned", found.left)):
        for number, line, reason in said:
            print(f"{args.conf}:{number}: {what}: {line}: {reason}", file=sys.stderr)
    print(f"{found.turned} lines turned, {len(found.part)} of them in part; {len(found.left)} not", file=sys.stderr)
    return 1 if found.left else 0
