"""`ddlcheck lab`: the practice cluster."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Protocol

from ddlcheck.errors import UsageError
from ddlcheck.intent import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.lab.cluster import Lab
    from ddlcheck.lab.nodes import Node


class Fault(Protocol):
    """What `break` and `heal` ask of a fault; `ddlcheck.lab.faults` has them."""

    name: str
    title: str
    promise: str

    def inject(self, node: Node) -> None:
        """Break the promise on the node."""

    def heal(self, node: Node) -> None:
        """Make it whole again, whether or not it was broken."""


HELP = "a practice cluster on this machine: real machines in containers, to break and to mend"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of `lab`."""
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="lab", help="the lab's name (default: lab)")
    verbs = parser.add_subparsers(dest="lab_verb", required=True, metavar="VERB")

    up = verbs.add_parser("up", parents=[named], help="bring it up, and wait until its nodes answer ssh")
    up.add_argument("--nodes", type=int, default=4, help="how many, 1 to 64 (default: 4)")
    up.set_defaults(lab_run=_up)

    down = verbs.add_parser("down", parents=[named], help="take it down; nothing of it stays")
    down.set_defaults(lab_run=_down)

    status = verbs.add_parser("status", parents=[named], help="say which nodes run (status 1: not all do)")
    status.set_defaults(lab_run=_status)

    ssh = verbs.add_parser("ssh", parents=[named], help="log in to a node as admin, or run a command there")
    ssh.add_argument("node")
    ssh.add_argument("command", nargs=argparse.REMAINDER, help="one word is a shell line; several are kept apart")
    ssh.set_defaults(lab_run=_ssh)

    breaks = verbs.add_parser("break", parents=[named], help="break one promise on a node")
    breaks.add_argument("node")
    breaks.add_argument("fault", help="as listed by `ddlcheck lab faults`, or the name of a promise")
    breaks.set_defaults(lab_run=_break)

    heal = verbs.add_parser("heal", parents=[named], help="undo a fault on a node; without its name, every one")
    heal.add_argument("node")
    heal.add_argument("fault", nargs="?")
    heal.set_defaults(lab_run=_heal)

    faults = verbs.add_parser("faults", help="list what can be broken")
    faults.set_defaults(lab_run=_faults)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    status: int = args.lab_run(args)
    return status


def _say(sentence: str) -> None:
    print(f"lab: {sentence}", file=sys.stderr, flush=True)


def _up(args: argparse.Namespace) -> int:
    from ddlcheck.lab import lifecycle  # noqa: PLC0415 - each verb imports what it needs

    lab = lifecycle.up(args.name, args.nodes, _say)
    option = "" if lab.name == "lab" else f" --name {lab.name}"
    print(f"inventory: {lab.inventory}")
    print(f"ssh:       ssh -F {lab.ssh_config} {lab.nodes[0].name}")
    print(f"break:     ddlcheck lab break{option} {lab.nodes[0].name} FAULT   (one of ddlcheck lab faults)")
    print(f"take down: ddlcheck lab down{option}")
    return 0


def _down(args: argparse.Namespace) -> int:
    from ddlcheck.lab import lifecycle  # noqa: PLC0415

    _say(f"lab {args.name} is gone" if lifecycle.down(args.name) else f"there was no lab {args.name}")
    return 0


def _status(args: argparse.Namespace) -> int:
    lab = _load(args)
    states = [(node, node.state()) for node in lab.nodes]
    for node, state in states:
        print(f"{node.name:10} {state:8} {node.address:15} {node.fabric_name:5} {node.fabric_address}")
    return 0 if all(state == "running" for _, state in states) else 1


def _ssh(args: argparse.Namespace) -> int:
    lab = _load(args)
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    # ssh joins its words with blanks and a shell takes them apart again: keep several what they are.
    line = words if len(words) < 2 else [shlex.join(words)]  # noqa: PLR2004
    argv = lab.ssh(lab.node(args.node), *line)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606


def _break(args: argparse.Namespace) -> int:
    lab, fault = _load(args), _fault(args.fault)
    node = lab.node(args.node)
    fault.inject(node)
    lab.record(node, list(dict.fromkeys([*lab.injected(node), fault.name])))
    _say(f"{node.name}: {fault.title} (breaks {fault.promise})")
    return 0


def _heal(args: argparse.Namespace) -> int:
    lab = _load(args)
    node = lab.node(args.node)
    injected = lab.injected(node)
    chosen = [_fault(args.fault)] if args.fault else list(_every_fault().values())
    for fault in chosen:
        fault.heal(node)  # also what nobody broke by `break`: it changes nothing that is whole
    healed = [fault.name for fault in chosen if fault.name in injected]
    lab.record(node, [name for name in injected if name not in healed])
    if healed:
        _say(f"{node.name}: healed of {', '.join(healed)}")
    else:
        what = f"fault {chosen[0].name} was not injected" if args.fault else "no fault was injected"
        _say(f"{node.name}: {what}")
    return 0


def _faults(_: argparse.Namespace) -> int:
    for name, fault in sorted(_every_fault().items()):
        print(f"{name:20} {fault.promise:14} {fault.title}")
    return 0


def _load(args: argparse.Namespace) -> Lab:
    from ddlcheck.lab.cluster import Lab  # noqa: PLC0415

    return Lab.load(args.name)


def _every_fault() -> Mapping[str, Fault]:
    # By name: the faults are many, and no other verb needs them.
    known: Mapping[str, Fault] = importlib.import_module("ddlcheck.lab.faults").FAULTS
    return known


def _fault(name: str) -> Fault:
    """Return a fault by its name; a promise's name stands for the first fault that breaks it."""
    known = _every_fault()
    if name in known:
        return known[name]
    found = next((fault for fault in known.values() if fault.promise == name), None)
    if found is None:
        near = nearest(name, list(known))
        hint = f"did you mean {near}?" if near else "`ddlcheck lab faults` lists them"
        raise UsageError(f"there is no fault {name!r}: {hint}")
    return found
