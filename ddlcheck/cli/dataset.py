"""`ddlcheck dataset`: what a data set is, and whether every node has it, to the last byte."""

from __future__ import annotations

import hashlib
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from ddlcheck.cli import _options
from ddlcheck.errors import NodeError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from ddlcheck.inventory import Inventory

HELP = "make a data set's manifest, or prove that every node has the data set"
#: Seconds every byte of everything may take: a day.
_LONG = 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="manifest|verify")
    make = verbs.add_parser("manifest", help="list a folder's files with sizes and SHA-256, once")
    make.add_argument("folder", type=pathlib.Path, help="the data set as it should be")
    make.add_argument("--output", "-o", type=pathlib.Path, metavar="FILE", help="default: standard output")
    make.add_argument("--jobs", "-j", type=_options.positive, default=0, help="files read at once (default: cores)")
    prove = verbs.add_parser("verify", help="compare what every node has with the declared manifest")
    prove.add_argument("inventory", help="any Ansible inventory that declares dataset_sets")
    prove.add_argument("--full", action="store_true", help="read every byte, on all nodes at once")
    prove.add_argument("--limit", "-l", default="", metavar="PATTERN", help="judge only these hosts or groups")
    prove.add_argument("--forks", "-f", type=_options.positive, default=64, help="nodes asked at once (64)")
    prove.add_argument("--timeout", type=_options.seconds, default=None, metavar="S",
                       help="seconds a node may take (60; with --full a day)")  # fmt: skip
    prove.add_argument("--extra-vars", "-e", action="append", default=[], metavar="VAR=VALUE")
    prove.add_argument("--vault-password-file", default="", metavar="FILE")
    _options.reports(prove)


def run(args: argparse.Namespace) -> int:
    """Make or prove."""
    return _manifest(args) if args.what == "manifest" else _verify(args)


def _manifest(args: argparse.Namespace) -> int:
    from ddlcheck import saved  # noqa: PLC0415
    from ddlcheck.probes import parts  # noqa: PLC0415

    space: dict[str, Any] = {"__name__": "dataset"}
    exec(compile(parts.program("dataset"), "dataset.py", "exec"), space)  # noqa: S102 - the nodes' very program
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: there is no such folder")
    if args.output and args.output.resolve().is_relative_to(args.folder.resolve()):
        raise UsageError(f"{args.output}: would be part of the data set it describes")
    shown = _Bar("reading")
    try:
        text = space["make"](str(args.folder), lambda done: shown.say("", done), args.jobs)
    except space["Trouble"] as exc:
        raise UsageError(str(exc)) from None
    except OSError as exc:
        raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
    finally:
        shown.close()
    if args.output:
        saved.write(args.output, text)
    else:
        sys.stdout.write(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"digest: {digest}", file=sys.stdout if args.output else sys.stderr)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from ddlcheck import checks as all_checks  # noqa: PLC0415
    from ddlcheck import inventory  # noqa: PLC0415
    from ddlcheck import run as runner  # noqa: PLC0415
    from ddlcheck.report import Result  # noqa: PLC0415

    _options.writable(args)
    began, clock = time.time(), time.monotonic()
    checks = runner.select(only="dataset")
    found = inventory.load(
        args.inventory, limit=args.limit, vault_password_file=args.vault_password_file,
        extra_vars=_options.variables(args.extra_vars),
    )  # fmt: skip
    names = [node.name for node in found.nodes]
    wanted = runner.plan(checks, found.intents, names)
    if not any(wanted.values()):
        raise UsageError(f"{found.source}: declares no dataset_sets for these nodes")
    gathered = _full(found, wanted, args) if args.full else _quick(found, wanted, args)
    result = Result(
        source=found.source, nodes=tuple(gathered), seconds=time.monotonic() - clock, started=began,
        promises={name: all_checks.promise(check) for name, check in checks.items()},
        verdicts=runner.judge(checks, found.intents, gathered),
        own_names={n: (*found.intents[n].names, *found.intents[n].addresses.values()) for n in gathered},
    )  # fmt: skip
    _options.emit(result, args)
    return result.exit


def _quick(found: Inventory, wanted: Mapping[str, Any], args: argparse.Namespace) -> Any:  # noqa: ANN401 - Gathered
    from ddlcheck import run as runner  # noqa: PLC0415
    from ddlcheck.probes import transport  # noqa: PLC0415

    try:
        return runner.gather(found.nodes, wanted, transport.ask, forks=args.forks, timeout=args.timeout or 60.0)
    finally:
        transport.close()


def _full(found: Inventory, wanted: Mapping[str, Any], args: argparse.Namespace) -> Any:  # noqa: ANN401 - Gathered
    from ddlcheck.probes import parts, transport  # noqa: PLC0415
    from ddlcheck.probes.head import AgentHead  # noqa: PLC0415
    from ddlcheck.storage import full  # noqa: PLC0415

    by_name = {node.name: node for node in found.nodes}

    def stream(name: str, argv: Sequence[str], seconds: float) -> Iterator[str]:
        python = by_name[name].python
        words = [python, *argv[1:]] if python else list(argv)
        return AgentHead(by_name[name], "").stream(words, deadline=seconds)

    shown = _Bar("proving")
    try:
        return full.prove(
            wanted, parts.program("dataset"), stream, shown.say, seconds=args.timeout or _LONG, forks=args.forks
        )
    except NodeError as exc:
        raise UsageError(str(exc)) from exc
    finally:
        shown.close()
        transport.close()


class _Bar:
    """How far each node is, on a terminal's stderr; nothing elsewhere."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._done: dict[str, tuple[int, int]] = {}
        self._quiet = not sys.stderr.isatty()

    def say(self, node: str, done: Mapping[str, Any]) -> None:
        """Show the sum of all nodes, and the slowest."""
        if self._quiet or not isinstance(done.get("of_bytes"), int) or not isinstance(done.get("bytes"), int):
            return
        self._done[node] = done["bytes"], done["of_bytes"]
        read, of = (sum(pair[i] for pair in self._done.values()) for i in (0, 1))
        last = min(self._done, key=lambda n: self._done[n][0] / max(1, self._done[n][1]))
        share = 100 * read // max(1, of)
        tail = f", {last} is last" if len(self._done) > 1 else ""
        sys.stderr.write(f"\r\x1b[K{self._doing}: {share} % of {of / 2**30:.1f} GiB{tail}")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the line as it was."""
        if self._done:
            sys.stderr.write("\r\x1b[K")
