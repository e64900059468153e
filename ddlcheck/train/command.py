"""`ddlcheck-train`: the words, the order of things, the exit status.

0 proven, 1 not proven, 2 the words or what is installed, 3 could not tell.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.train import mpi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddlcheck.train.mpi import MpiRanks
    from ddlcheck.train.network import Model, Network
    from ddlcheck.train.report import Report

PROVEN, NOT_PROVEN, USAGE, UNKNOWN = range(4)
#: The whole batch, unless it is said: the next multiple of the ranks from here.
BATCH = 240


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (ddlcheck-train --help says more)")


def parser() -> argparse.ArgumentParser:
    """Return the words."""
    out = _Parser(
        prog="ddlcheck-train", allow_abbrev=False,
        description="Train a small network on handwritten digits, data-parallel over the ranks of MPI, and prove that "
        "all ranks end with the same weights and that the loss is that of one rank with the whole batch.",
        epilog="Exit status: 0 proven, 1 not proven, 2 usage or installation, 3 could not tell.",
    )  # fmt: skip
    add = out.add_argument
    add("--batch", type=_count, metavar="N", help=f"samples of a step, over all ranks ({BATCH}, or what divides)")
    add("--steps", type=_count, default=120, metavar="N", help="steps to train (120: 20 times over the data)")
    add("--hidden", type=_count, default=64, metavar="N", help="hidden units (64): more work for each rank")
    add("--rate", type=_positive, default=0.003, metavar="X", help="learning rate of Adam (0.003)")
    add("--seed", type=_count, default=1, metavar="N", help="of weights and of the order of samples (1)")
    add("--backend", choices=("auto", "numpy", "torch"), default="auto", help="auto: PyTorch where all ranks have it")
    add("--no-scaling", action="store_true", help="do not measure samples a second for 1 to N ranks")
    add("--seconds", type=_positive, default=0.5, metavar="S", help="how long each measurement takes (about 0.5)")
    add("--json", metavar="FILE", help="write the report there too, on rank 0's host")
    add("--timeout", type=_positive, default=600.0, metavar="S", help="end a job that hangs (600)")
    return out


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:10]) <= 10_000_000):  # noqa: PLR2004 - said below
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 1 to 10000000")
    return int(word)


def _positive(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e6:  # noqa: PLR2004 - said below; NaN fails both
        raise argparse.ArgumentTypeError(f"{word!r} is not a number above 0 and below 1000000")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job on this rank; one rank speaks for all."""
    ranks: MpiRanks | None = None
    try:
        args = parser().parse_args(argv)
        ranks, library = mpi.world()
        _watch(args.timeout, ranks.rank)
        report = job(args, ranks, library)
    except UsageError as error:
        return _say(str(error), USAGE, ranks)
    except DdlcheckError as error:
        return _say(str(error), UNKNOWN, ranks)
    except Exception:  # noqa: BLE001 - a bug of one rank; all others wait for it
        traceback.print_exc()
        if ranks and ranks.size > 1:
            ranks.abort(UNKNOWN)
        return UNKNOWN
    if ranks.rank == 0:
        print(report.text(), end="", flush=True)
        if args.json:
            try:
                Path(args.json).write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
            except OSError as error:
                return _say(f"--json {args.json} cannot be written: {error.strerror}", USAGE, ranks)
    return PROVEN if report.proof.holds else NOT_PROVEN


def _say(sentence: str, status: int, ranks: MpiRanks | None) -> int:
    """Say it once: rank 0 for all, or, while there is no MPI, the first rank of each host for its host."""
    if ranks.rank == 0 if ranks else mpi.local_rank() == 0:
        print(f"ddlcheck-train: {sentence}", file=sys.stderr, flush=True)
    return status


def _watch(seconds: float, rank: int) -> None:
    """End this rank, and so the job, if it hangs: a signal would not reach Python inside of MPI, a thread does."""

    def end() -> None:
        sys.stderr.write(f"ddlcheck-train: rank {rank} on {os.uname().nodename} did not end within {seconds:g} s\n")
        sys.stderr.flush()
        os._exit(UNKNOWN)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()


def job(args: argparse.Namespace, ranks: MpiRanks, library: str) -> Report:
    """Train, prove, measure; every rank does."""
    _agree(ranks, _lacking(args, ranks.rank))
    from ddlcheck.train import digits, learner, network, scaling  # noqa: PLC0415 - with numpy
    from ddlcheck.train.report import Report  # noqa: PLC0415

    batch = args.batch or -(-BATCH // ranks.size) * ranks.size
    learner.check_batch(batch, ranks.size)
    try:
        data, trouble = digits.load(), ""
    except UsageError as error:
        trouble = str(error)
    _agree(ranks, trouble)
    model, backend = _model(args.backend, network.Network(digits.PIXELS, args.hidden, digits.CLASSES), ranks)
    plan = learner.Plan(batch, args.steps, args.rate, args.seed)
    outcome = learner.train(ranks, model, data, plan)
    proof = learner.prove(ranks, model, data, plan, outcome)
    places = ranks.everyone(scaling.here())
    speeds = []
    if not args.no_scaling:
        work = scaling.Work(model, data, batch // ranks.size, args.rate, args.seconds)
        speeds = scaling.measure(ranks, work, places)
    right = model.right(outcome.theta, data.test_images, data.test_labels)
    losses = [float(loss) for loss in outcome.losses]
    return Report(places, library, backend, plan, losses, proof, right, len(data.test_labels), speeds)


def _lacking(args: argparse.Namespace, rank: int) -> str:
    if importlib.util.find_spec("numpy") is None:
        return "there is no numpy: pip install 'ddlcheck[train]', or numpy"
    if rank == 0 and args.json and not Path(args.json).absolute().parent.is_dir():
        return f"--json {args.json}: there is no such directory"
    return ""


def _agree(ranks: MpiRanks, trouble: str) -> None:
    """Stop on all ranks if one of them cannot go on: alone it would leave the others waiting."""
    every = ranks.everyone((os.uname().nodename, trouble))
    first = next(((host, said) for host, said in every if said), None)
    if first:
        raise UsageError(f"{first[0]}: {first[1]}")


def _model(wanted: str, network: Network, ranks: MpiRanks) -> tuple[Model, str]:
    """Return who finds the gradients: PyTorch only if all ranks have it, as speeds are compared."""
    import numpy as np  # noqa: PLC0415

    found = importlib.util.find_spec("torch") is not None if wanted != "numpy" else False
    lacking = [host for host, there in ranks.everyone((os.uname().nodename, found)) if not there]
    if wanted == "torch" and lacking:
        raise UsageError(f"--backend torch: there is no PyTorch on {', '.join(dict.fromkeys(lacking))}")
    if lacking:
        return network, f"numpy {np.__version__}"
    import torch  # noqa: PLC0415 - slow, and optional

    from ddlcheck.train.torch_network import TorchNetwork  # noqa: PLC0415

    model = TorchNetwork(network, mpi.local_rank())
    return model, f"PyTorch {torch.__version__} on {model.device.type}"
