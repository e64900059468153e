"""The command line of the gate: ``ddlcheck-node`` on a node, ``ddlcheck node`` elsewhere.

Parsed by hand: importing argparse costs as much as starting Python does.
"""

from __future__ import annotations

import os
import sys

from ddlcheck.errors import DdlcheckError, NotSeen, UsageError
from ddlcheck.verdict import EXIT_UNKNOWN, EXIT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ddlcheck.gates.result import Result

#: Option: (what its value is called, or nothing; what it means).
OPTIONS = {
    "--intent": ("FILE", "what this node promises (default: /etc/ddlcheck/intent.json)"),
    "--only": ("CHECK,…", "judge only these promises; the result is not kept"),
    "--skip": ("CHECK,…", "judge all but these promises; the result is not kept"),
    "--timeout": ("S", "seconds all of it may take (default: 10; of a run with slow probes 120)"),
    "--last": ("S", "judge nothing: repeat the kept verdict, if it is at most S seconds old"),
    "--now": ("", "run slow probes, too, instead of taking what the background tier found"),
    "--background": ("", "be the background tier: run slow probes and keep what they find, then judge"),
    "--results": ("FILE", "where that is kept (default: /run/ddlcheck/background.json)"),
    "--status": ("FILE", "where the verdict is kept (default, as root: /run/ddlcheck/status.json; empty: nowhere)"),
    "--textfile": ("FILE", "write the verdict for the node exporter's textfile collector, too"),
    "--json": ("", "print the verdict as JSON"),
    "--nagios": ("", "print one line as monitoring plug-ins do, and end with 0, 1 (warning), 2 (critical) or 3"),
    "--quiet": ("", "print nothing; the exit status says it"),
    "--verbose": ("", "one line for what was kept, too"),
    "--version": ("", "print the version"),
    "--help": ("", "print this"),
}
_SHORT = {"-v": "--verbose", "-q": "--quiet", "-h": "--help"}


def main(words: Sequence[str] | None = None, name: str = "ddlcheck-node") -> int:
    """Judge this node and say so; return the exit status."""
    given = list(sys.argv[1:] if words is None else words)
    if given[:1] == ["slurm"]:
        from ddlcheck.gates.slurm import main as adapter  # noqa: PLC0415

        return adapter(given[1:])
    try:
        status = _run(_parsed(given), name)
        sys.stdout.flush()
    except UsageError as exc:
        sys.stderr.write(f"{name.partition(' ')[0]}: {exc}\n")
        return EXIT_USAGE
    except DdlcheckError as exc:
        sys.stderr.write(f"{name.partition(' ')[0]}: {exc}\n")
        return EXIT_UNKNOWN
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    return status


def _parsed(words: list[str]) -> dict[str, str]:
    """Return ``{option: value}``; raises `UsageError`."""
    out: dict[str, str] = {}
    while words:
        word, equals, value = words.pop(0).partition("=")
        word = _SHORT.get(word, word)
        if word not in OPTIONS:
            raise UsageError(f"there is no option {word!r} (--help says more)")
        wanted = OPTIONS[word][0]
        if wanted and not equals:
            if not words:
                raise UsageError(f"{word} wants a value: {wanted}")
            value = words.pop(0)
        elif equals and not wanted:
            raise UsageError(f"{word} takes no value")
        out[word] = value
    return out


def _run(given: dict[str, str], name: str) -> int:
    if "--help" in given:
        sys.stdout.write(usage(name))
        return 0
    if "--version" in given:
        from ddlcheck import __version__  # noqa: PLC0415

        sys.stdout.write(f"ddlcheck {__version__}\n")
        return 0
    from ddlcheck.gates import node, promised, stamped  # noqa: PLC0415

    asked = node.Asked(
        given.get("--intent", promised.DEFAULT),
        background=given.get("--results", stamped.PATH),
        only=_names(given.get("--only", "")),
        skip=_names(given.get("--skip", "")),
        service="--background" in given,
        now="--now" in given,
    )
    if "--last" in given:
        return _repeat(given)
    slow = {"--now", "--background"} & set(given)
    seconds = _seconds(given.get("--timeout", ""), node.SLOW_TIMEOUT if slow else node.TIMEOUT)
    if "--background" in given:
        from ddlcheck.gates import background  # noqa: PLC0415

        background.run(asked, seconds)
    result = node.verdicts(asked.path, seconds, asked)
    if result.refused and not {"--json", "--nagios"} & set(given):
        _keep(result, given)
        raise UsageError(result.refused)
    trouble = _keep(result, given)
    if "--quiet" not in given:
        _say(result, given)
    if trouble:
        sys.stderr.write(f"{name}: {trouble}\n")
    return _exit(result, given)


def _repeat(given: dict[str, str]) -> int:
    """Say the kept verdict again; raises `NotSeen` when there is none that may be believed."""
    from ddlcheck.gates import status  # noqa: PLC0415

    kept = status.read(_seconds(given["--last"], 0.0, "--last"), given.get("--status", status.PATH))
    if kept.result.refused and not {"--json", "--nagios"} & set(given):
        raise UsageError(kept.result.refused)
    if "--quiet" not in given:
        _say(kept.result, given)
    return _exit(kept.result, given)


def _exit(result: Result, given: dict[str, str]) -> int:
    if "--nagios" not in given:
        return result.exit
    from ddlcheck.gates import nagios  # noqa: PLC0415

    return nagios.exit_status(result)


def _names(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _seconds(text: str, default: float, option: str = "--timeout") -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:  # noqa: PLR2004 - also refuses nan
        raise UsageError(f"{option} {text}: from 0.1 to 3600 seconds")
    return value


def _keep(result: Result, given: dict[str, str]) -> str:
    """Keep the verdict where it is looked for; return what went wrong, empty where nothing had to be kept."""
    from ddlcheck.gates import status  # noqa: PLC0415

    path = given.get("--status", status.PATH if os.geteuid() == 0 else "")
    # A part of the promises must not stand where all of them are looked for.
    partial = bool({"--only", "--skip"} & set(given))
    try:
        if path and not partial:
            status.write(result, path)
        if given.get("--textfile"):
            from ddlcheck.gates import textfile  # noqa: PLC0415

            textfile.write(result, given["--textfile"])
    except NotSeen as exc:
        return f"the verdict was not kept: {exc}"
    return ""


def _say(result: Result, given: dict[str, str]) -> None:
    sys.stdout.write(_renderer(given)(result))


def _renderer(given: dict[str, str]) -> Callable[[Result], str]:
    if "--json" in given:
        from ddlcheck.gates import text  # noqa: PLC0415

        return lambda result: text.dumps({"schema": 1, **result.to_json()}) + "\n"
    if "--nagios" in given:
        from ddlcheck.gates import nagios  # noqa: PLC0415

        return nagios.render
    from ddlcheck import lines  # noqa: PLC0415

    verbose = "--verbose" in given
    return lambda result: lines.render(result.node, result.verdicts, result.ms / 1000, verbose=verbose)


def usage(name: str) -> str:
    """Return the help."""
    rows = [f"  {f'{option} {value}'.strip():18} {means}" for option, (value, means) in OPTIONS.items()]
    return "\n".join([
        f"usage: {name} [options]", "",
        "Prove this machine alone, against the intent file that the role health_gate keeps on it.", "", *rows, "",
        "Exit status: 0 ready, 1 not ready, 2 usage or configuration, 3 could not tell. Only 0 is a yes.", "",
    ])  # fmt: skip
