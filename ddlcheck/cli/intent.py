"""`ddlcheck intent`: what each node promises, one file a node, for the gate on it."""

from __future__ import annotations

import json
import pathlib
import tempfile
import time
import urllib.parse
from typing import TYPE_CHECKING

from ddlcheck import checks, inventory, saved
from ddlcheck.cli import _options
from ddlcheck.errors import UsageError
from ddlcheck.gates import payload, promised
from ddlcheck.gates.adapters import ADAPTERS

if TYPE_CHECKING:
    import argparse

HELP = "write what each node promises, one file a node, for the gate on it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("inventory", help="any Ansible inventory: file, directory, script, or a,b,")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="DIR/NODE.json for every node")
    parser.add_argument(
        "--for-role", action="store_true", help="make all that the role health_gate installs; print where"
    )
    parser.add_argument("--limit", "-l", default="", metavar="PATTERN", help="only for these hosts or groups")
    parser.add_argument(
        "--extra-vars", "-e", action="append", default=[], metavar="VAR=VALUE", help="override a declared variable"
    )
    parser.add_argument("--vault-password-file", default="", metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    found = inventory.load(
        args.inventory,
        limit=args.limit,
        vault_password_file=args.vault_password_file,
        extra_vars=_options.variables(args.extra_vars),
    )
    if args.for_role:
        return _for_role(found)
    if not args.out:
        raise UsageError("give --out DIR, where the files are to go")
    _write(found, args.out, int(time.time()))
    print(f"{len(found.nodes)} intent files in {args.out}")
    return 0


def _write(found: inventory.Inventory, folder: pathlib.Path, made: int) -> dict[str, str]:
    """Write a file for every node; return their hashes."""
    every, hashes = checks.load(), {}
    for node in found.nodes:
        intent = found.intents[node.name]
        if not any(promised.tiers(every, intent)):
            raise UsageError(f"{node.name}: health_gate_skip leaves nothing that the gate could judge")
        text = promised.make(intent, every, made).decode("ascii")
        saved.write(folder / f"{urllib.parse.quote(node.name, safe='')}.json", text)
        hashes[node.name] = promised.hash_of(text)
    return hashes


def _hooks(found: inventory.Inventory) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Return the files of the scheduler that each node declares, for those whose files belong on the nodes."""
    out: dict[str, dict[str, list[dict[str, str]]]] = {}
    for node in found.nodes:
        values = found.intents[node.name].values
        if values["health_gate_scheduler"] in ("pbs", "lsf"):
            adapter = ADAPTERS[values["health_gate_scheduler"]](values)
            out[node.name] = {"files": [file._asdict() for file in adapter.files]}
    return out


def _for_role(found: inventory.Inventory) -> int:
    """Make the intent files and the library in a folder that the role removes; say in JSON what is where."""
    folder, made = pathlib.Path(tempfile.mkdtemp(prefix="ddlcheck-gate-")), int(time.time())
    modules = payload.modules()
    library = payload.digest(modules)
    (folder / "library.tar").write_bytes(payload.archive(modules, library))
    print(json.dumps({"folder": str(folder), "made": made, "library": library, "launcher": payload.launcher(library),
                      "hooks": _hooks(found), "intents": _write(found, folder, made)}))  # fmt: skip
    return 0
