"""`ddlcheck fabric`: MPI between every pair, measured and judged; or a matrix that others measured."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from ddlcheck.cli import _options
from ddlcheck.errors import NodeError, UsageError
from ddlcheck.report import Result
from ddlcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.inventory import Inventory
    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.judging.outliers import Findings
    from ddlcheck.verdict import Verdict
    from ddlcheck.wants import Answer

HELP = "measure MPI between every pair of nodes, and name what is slow; or judge a matrix of another tool"
_PROMISE = "MPI between every pair of nodes works over the declared transport, and none is slower than its peers."
#: A file beyond this holds no matrix that could be judged.
_MAX = 2 << 30


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the words."""
    parser.add_argument("inventory", nargs="?", help="any Ansible inventory: file, directory, script, or a,b,")
    parser.add_argument("--limit", "-l", default="", metavar="PATTERN", help="measure only these hosts or groups")
    parser.add_argument("--extra-vars", "-e", action="append", default=[], metavar="VAR=VALUE")
    parser.add_argument("--vault-password-file", default="", metavar="FILE")
    parser.add_argument("--from-matrix", type=pathlib.Path, metavar="FILE", help="judge JSON, CSV or mpiGraph output")
    parser.add_argument("--sizes", type=_sizes, default=(8, 1 << 20), metavar="BYTES,…", help="8,1M")
    parser.add_argument("--iterations", type=_number, default=1000, metavar="N", help="at most (1000)")
    parser.add_argument("--time-budget", type=_options.seconds, default=600.0, metavar="S", help="for everything (600)")
    parser.add_argument("--per-node", type=_number, default=1, metavar="N", help="ranks, one for each rail (1)")
    parser.add_argument("--rails", default="", metavar="HCA:PORT,…", help="the device of each rank of a node")
    parser.add_argument("--pairs", type=_pairs, metavar="full|sample:K", help="by default what fits the time")
    parser.add_argument("--patience", type=_options.seconds, default=10.0, metavar="S", help="for a pair (10)")
    parser.add_argument("--shared-cores", action="store_true", help="several nodes share this machine's cores")
    parser.add_argument("--html", type=pathlib.Path, metavar="FILE", help="write heat maps, in one file")
    parser.add_argument("--good-hosts", type=pathlib.Path, metavar="FILE", help="write a host file of what passed")
    parser.add_argument("--baseline", type=pathlib.Path, metavar="FILE", help="compare with it; save it if missing")
    _options.reports(parser)


def _number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1_000_000:  # noqa: PLR2004 - more than anybody waits for
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    out = []
    for word in text.split(","):
        factor = {"K": 1 << 10, "M": 1 << 20}.get(word[-1:].upper(), 1)
        digits = word[:-1] if factor > 1 else word
        if not digits.isdigit() or not 0 < int(digits) * factor <= 64 << 20:
            raise argparse.ArgumentTypeError(f"{word!r} is not a size from 1 to 64M")
        out.append(int(digits) * factor)
    if len(out) > 8:  # noqa: PLR2004 - MAX_SIZES in rank/base.h
        raise argparse.ArgumentTypeError("more than 8 sizes")
    return tuple(out)


def _pairs(text: str) -> str:
    kind, _, number = text.partition(":")
    if text != "full" and (kind != "sample" or not number.isdigit() or int(number) < 1):
        raise argparse.ArgumentTypeError(f"{text!r} is neither full nor sample:K")
    return text


def run(args: argparse.Namespace) -> int:
    """Measure or read, judge, render."""
    from ddlcheck.judging import outliers  # noqa: PLC0415

    _options.writable(args)
    for path in (args.html, args.good_hosts, args.baseline):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(f"{path}: cannot be written there")
    began, clock = time.time(), time.monotonic()
    if args.from_matrix:
        if args.inventory:
            raise UsageError("--from-matrix judges a file: it takes no inventory")
        matrix, verdicts, found = _judge_file(args.from_matrix)
        source, hosts = str(args.from_matrix), {node: node for node in matrix.nodes}
    elif args.inventory:
        matrix, verdicts, source, hosts = _measure(args)
        found = outliers.find(matrix) if _any(matrix) else None
    else:
        raise UsageError("give an inventory, or --from-matrix FILE")
    if args.baseline and _any(matrix):
        verdicts += _baseline(args.baseline, matrix)
    for verdict in verdicts:
        verdict.promise = "fabric"
    result = Result(
        source=source, nodes=matrix.nodes, promises={"fabric": _PROMISE}, verdicts=verdicts, started=began,
        seconds=time.monotonic() - clock, own_names={node: (node,) for node in matrix.nodes},
        fabric=matrix if _any(matrix) else None,
    )  # fmt: skip
    _options.emit(result, args)
    if found is not None and "-" not in (str(args.json), str(args.junit), str(args.prometheus)):
        from ddlcheck.report import matrix_text  # noqa: PLC0415

        # What is typical, and that nothing drifted, is the answer where all is well.
        passed = [v for v in verdicts if v.status is Status.PASS]
        said = [v.seen for v in passed if "typical" in v.evidence or "baseline" in v.seen]
        sys.stdout.write("".join(f"\n{text}\n" for text in said) + matrix_text.render(matrix))
    _files(args, matrix, found, result, hosts)
    return result.exit


def _any(matrix: Matrix) -> bool:
    return matrix.latency is not None or matrix.bandwidth is not None


def _read(path: pathlib.Path) -> Matrix:
    from ddlcheck.judging import matrix  # noqa: PLC0415

    try:
        if path.stat().st_size > _MAX:
            raise UsageError(f"{path}: larger than any matrix that can be judged")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text") from None
    try:
        return matrix.load(text)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from None


def _judge_file(path: pathlib.Path) -> tuple[Matrix, list[Verdict], Findings | None]:
    from ddlcheck.judging import blame, outliers  # noqa: PLC0415

    matrix = _read(path)
    findings = outliers.find(matrix)
    return matrix, [*blame.unmeasured(matrix), *blame.judge(matrix, findings)], findings


def _measure(args: argparse.Namespace) -> tuple[Matrix, list[Verdict], str, dict[str, str]]:
    from ddlcheck import inventory  # noqa: PLC0415
    from ddlcheck import run as runner  # noqa: PLC0415
    from ddlcheck.judging import matrix  # noqa: PLC0415

    found = inventory.load(
        args.inventory, limit=args.limit, vault_password_file=args.vault_password_file,
        extra_vars=_options.variables(args.extra_vars),
    )  # fmt: skip
    checks = runner.select(only="fabric")
    gathered = _gather(found, checks, args)
    verdicts = runner.judge(checks, found.intents, gathered)
    names = [node.name for node in found.nodes]
    whole = _options.measured(gathered, found.intents) or matrix.Matrix(names)
    return whole, verdicts, found.source, {node: intent.mpi_name for node, intent in found.intents.items()}


def _gather(
    found: Inventory, checks: Mapping[str, object], args: argparse.Namespace
) -> dict[str, dict[str, Answer] | NodeError]:
    from ddlcheck import run as runner  # noqa: PLC0415
    from ddlcheck.cli import _progress  # noqa: PLC0415
    from ddlcheck.probes import transport  # noqa: PLC0415
    from ddlcheck.probes.head import AgentHead  # noqa: PLC0415

    names = [node.name for node in found.nodes]
    wanted = runner.plan(checks, found.intents, names)  # type: ignore[arg-type]
    with _progress.Progress(len(names), quiet=not sys.stderr.isatty()) as progress:
        try:
            gathered = runner.gather(found.nodes, wanted, transport.ask, progress=progress.node)
            up = [node for node in found.nodes if not isinstance(gathered[node.name], NodeError)]
            if up:
                head = AgentHead(up[0], str(found.intents[up[0].name]["ssh_mesh_user"]))
                runner.measure(
                    head, gathered, found.intents, progress=progress.say, shared_cores=args.shared_cores,
                    sizes=args.sizes, iterations=args.iterations, per_node=args.per_node, patience=args.patience,
                    time_budget=args.time_budget, pairs=args.pairs or "",
                    rails=[word for word in args.rails.split(",") if word],
                )  # fmt: skip
        finally:
            transport.close()
    return gathered


def _baseline(path: pathlib.Path, matrix: Matrix) -> list[Verdict]:
    import json  # noqa: PLC0415

    from ddlcheck import saved  # noqa: PLC0415
    from ddlcheck.judging import drift  # noqa: PLC0415

    if path.exists():
        return list(drift.compare(_read(path), matrix))
    saved.write(path, json.dumps(matrix.to_json()) + "\n")
    print(f"saved as the baseline: {path}", file=sys.stderr)
    return []


def _files(
    args: argparse.Namespace, matrix: Matrix, findings: Findings | None, result: Result, hosts: Mapping[str, str]
) -> None:
    from ddlcheck import saved  # noqa: PLC0415

    if args.html:
        from ddlcheck.report import matrix_html  # noqa: PLC0415

        saved.write(args.html, matrix_html.render(matrix, findings, result.verdicts, source=result.source))
    if args.good_hosts:
        bad = {node for v in result.verdicts if v.status in (Status.FAIL, Status.UNKNOWN) for node in v.nodes}
        good = [hosts.get(node, node) for node in matrix.nodes if node not in bad]
        saved.write(args.good_hosts, "".join(f"{host} slots={args.per_node}\n" for host in good))
