"""`ddlcheck adapter`: the files that let a scheduler ask a node's gate."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from ddlcheck import declared, rules, saved
from ddlcheck.cli import _options
from ddlcheck.errors import UsageError
from ddlcheck.gates.adapters import ADAPTERS

if TYPE_CHECKING:
    import argparse

HELP = "write the files that let PBS, LSF, Kubernetes, systemd or NHC ask a node's gate"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("name", choices=sorted(ADAPTERS))
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="write them below DIR, each at its own path")
    parser.add_argument("--dry-run", action="store_true", help="print what would be written, and write nothing")
    parser.add_argument(
        "--extra-vars",
        "-e",
        action="append",
        default=[],
        metavar="VAR=VALUE",
        help="a variable of the role health_gate",
    )


def run(args: argparse.Namespace) -> int:
    """Write or print the files, and say what is to be done with them."""
    values = dict(declared.defaults())
    given = _options.variables(args.extra_vars)
    for name in given:
        if not name.startswith("health_gate_") or name not in values:
            raise UsageError(f"--extra-vars {name}: is no variable of the role health_gate")
    values.update(given)
    checked = declared.typed("health_gate", values)
    if isinstance(checked, str):
        raise UsageError(f"--extra-vars: {checked}")
    values.update(checked)
    wrong = rules.broken(values)
    if wrong:
        raise UsageError(f"--extra-vars: {wrong[1]}")
    if bool(args.out) == args.dry_run:
        raise UsageError("give --out DIR, where the files are to go, or --dry-run, to see them")
    adapter = ADAPTERS[args.name](values)
    for file in adapter.files:
        if args.dry_run:
            print(f"# ---- {file.path} (mode {file.mode})\n{file.text}")
            continue
        path = args.out / file.path.lstrip("/")
        saved.write(path, file.text)
        path.chmod(int(file.mode, 8))
        print(path)
    print("\n".join(["then:", *(f"  {step}" for step in adapter.steps)]))
    return 0
