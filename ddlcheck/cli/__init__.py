"""Words on the command line to calls, verdicts to an exit status; nothing else.

One module is one verb: ``HELP``, ``configure(parser)`` and ``run(args) -> int``. A verb is imported only when
it is used, and imports only what it needs: the start-up of some of them is a figure we publish.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys

from ddlcheck import __version__
from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.verdict import EXIT_UNKNOWN, EXIT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_EPILOG = "Exit status: 0 ready, 1 not ready, 2 usage or configuration, 3 could not tell."


def verbs() -> list[str]:
    """Return every verb, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except UsageError as exc:
        print(f"ddlcheck: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except DdlcheckError as exc:
        print(f"ddlcheck: {exc}", file=sys.stderr)
        return EXIT_UNKNOWN
    except KeyboardInterrupt:
        print("ddlcheck: interrupted", file=sys.stderr)
        return _leave(130)
    except BrokenPipeError:
        # The reader went away (`| head`); Python would complain once more while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as exc:  # noqa: BLE001 - a bug is a traceback in a log, and never reads as a sick node
        print(f"ddlcheck: a bug: {type(exc).__name__}: {exc}; {_log()}", file=sys.stderr)
        return EXIT_UNKNOWN


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, like everybody's."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage above the sentence."""
        raise UsageError(f"{message} (ddlcheck {self.prog.removeprefix('ddlcheck ')} --help says more)")


def _leave(status: int) -> int:
    """Go now: threads that still wait for a node would hold the interpreter until their deadlines."""
    import threading  # noqa: PLC0415

    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0 if words else EXIT_USAGE
    if words[0] == "--version":
        print(f"ddlcheck {__version__}")
        return 0
    verb = words[0].replace("-", "_")
    if verb not in verbs():
        from ddlcheck.intent import nearest  # noqa: PLC0415

        near = nearest(verb, verbs())
        raise UsageError(f"there is no verb {words[0]!r}" + (f": did you mean {near.replace('_', '-')}?" if near else
                                                            f": one of {', '.join(verbs())}"))  # fmt: skip
    module = importlib.import_module(f"{__name__}.{verb}")
    if hasattr(module, "main"):  # a verb that parses its own words
        return int(module.main(words[1:]))
    parser = _Parser(prog=f"ddlcheck {words[0]}", description=module.HELP, epilog=_EPILOG, allow_abbrev=False)
    module.configure(parser)
    status: int = module.run(parser.parse_args(words[1:]))
    sys.stdout.flush()
    return status


def _overview() -> str:
    lines = ["Is this cluster ready for an MPI training job, and if not, which role mends it?", ""]
    lines += ["usage: ddlcheck VERB ...", ""]
    for verb in verbs():
        module = importlib.import_module(f"{__name__}.{verb}")
        lines.append(f"  {verb.replace('_', '-'):10} {module.HELP}")
    return "\n".join([*lines, "", "ddlcheck VERB --help says more.", _EPILOG, ""])


def _log() -> str:
    """Keep the traceback where it can be sent from."""
    import pathlib  # noqa: PLC0415
    import traceback  # noqa: PLC0415

    path = pathlib.Path("~/.cache/ddlcheck/bug.log").expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"ddlcheck {__version__}, Python {sys.version}\n{traceback.format_exc()}", encoding="utf-8")
    except OSError:
        traceback.print_exc()
        return "please report it with the traceback above"
    return f"please report it with {path}"
