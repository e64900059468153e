"""The gate on one node: judge what this machine can prove by itself, within a deadline, whatever hangs.

A child judges and says so promise by promise; the parent only listens. When time is up the child is killed and not
waited for, and what it was busy with is UNKNOWN.
"""

from __future__ import annotations

import os
import time

from ddlcheck.errors import DdlcheckError, NotSeen, UsageError
from ddlcheck.gates import promised, stamped, text
from ddlcheck.gates.look import Look, leave, receive
from ddlcheck.gates.result import Result, verdict_of
from ddlcheck.judging import one
from ddlcheck.verdict import Status, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from ddlcheck.gates.promised import Promised

#: Seconds for all of it; Slurm kills its health check after 60.
TIMEOUT = 10.0
#: … where slow probes run, too.
SLOW_TIMEOUT = 120.0


class Asked:
    """What to judge, by what: the words of the command line."""

    __slots__ = ("background", "now", "only", "own", "path", "service", "skip")

    def __init__(
        self,
        path: str = promised.DEFAULT,
        *,
        background: str = stamped.PATH,
        only: tuple[str, ...] = (),
        skip: tuple[str, ...] = (),
        own: bool = True,
        service: bool = False,
        now: bool = False,
    ) -> None:
        self.path = path
        self.background = background
        self.only = only
        self.skip = skip
        self.own = own
        self.service = service
        self.now = now


def verdicts(path: str = promised.DEFAULT, timeout: float = TIMEOUT, asked: Asked | None = None) -> Result:
    """Judge this machine against an intent file; never raises, never takes much longer than ``timeout`` seconds.

    Returns a `Result`: ``exit`` 0 ready, 1 not ready, 2 the intent file cannot be used, 3 could not tell.
    """
    asked = asked or Asked(path)
    begun = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _child(writer, asked, timeout)
    os.close(writer)
    heard: list[bytes] = []
    try:
        whole = receive(reader, begun + timeout, heard) is not None
    finally:
        os.close(reader)
        leave(pid, group=True)
    result = _understood(b"".join(heard), whole=whole, timeout=timeout)
    result.ms = (time.monotonic() - begun) * 1000
    return result


def _child(writer: int, asked: Asked, timeout: float) -> NoReturn:
    """Judge, one line a message; nothing ever returns from here."""
    from _signal import alarm  # type: ignore[import-not-found]  # noqa: PLC0415 - ``signal`` imports enum

    def say(kind: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        data = memoryview(f"{text.dumps({'kind': kind, **more})}\n".encode())
        while data:
            data = data[os.write(writer, data) :]

    try:
        os.setpgid(0, 0)  # so that its own children can be killed with it
        alarm(int(timeout) + 5)  # our parent may be killed first
        _tell(asked, say)
    except UsageError as exc:
        say("refused", text=str(exc))
    except DdlcheckError as exc:
        say("crashed", text=str(exc))
    except BaseException as exc:  # noqa: BLE001 - the parent has to hear of it
        say("crashed", text=f"{type(exc).__name__}: {exc}"[:300])
    finally:
        os._exit(0)


def _tell(asked: Asked, say: Any) -> None:  # noqa: ANN401 - of `_child`
    found = promised.load(asked.path, own=asked.own)
    names = _chosen(found, asked)
    say("begun", node=found.intent.node, declared=found.declared, promises=names)
    for verdict in judged(found, names, asked, lambda name: say("judging", promise=name)):
        say("verdict", verdict=_plain(verdict))
    say("done")


def _plain(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON; evidence that is none is left out rather than taking the verdict with it."""
    try:
        record = verdict.to_json()
        text.dumps(record)
    except (TypeError, ValueError):
        verdict.evidence, verdict.declared = {"unprintable": str(verdict.evidence)[:200]}, {}
        record = verdict.to_json()
    return record


def _chosen(found: Promised, asked: Asked) -> list[str]:
    """Return the promises to judge; a word that names none is the user's mistake."""
    every = found.gate + found.background
    for word in (*asked.only, *asked.skip):
        if word not in every:
            raise UsageError(
                f"{asked.path}: promises no {word!r} that a node can prove alone: {', '.join(sorted(every))}"
            )
    names = [name for name in every if (not asked.only or name in asked.only) and name not in asked.skip]
    if not names:
        raise UsageError("--only and --skip leave nothing to judge")
    return names


def judged(found: Promised, names: list[str], asked: Asked, begin: Any) -> Iterator[Verdict]:  # noqa: ANN401
    """Yield the verdict on each promise; ``begin(name)`` is called before each."""
    intent = found.intent
    kept: stamped.Stamped | None = None

    def shelf() -> stamped.Stamped:
        nonlocal kept
        if kept is None and asked.now:
            from ddlcheck.gates import background  # noqa: PLC0415 - slow, as was asked for

            kept = stamped.Stamped.just_now(*background.gather(found))
        if kept is None:
            kept = stamped.Stamped.kept(asked.background, found.declared, float(intent["health_gate_max_age"]))
        return kept

    for name in names:
        begin(name)
        if name in found.background:
            yield shelf().verdict(name, intent.node)
            continue
        try:
            check = __import__(f"ddlcheck.checks.{name}", fromlist=["judge"])
            look = Look(check.wants(intent), lambda want: shelf().answer(want), service=asked.service)
        except ImportError as exc:
            verdict = Verdict(Status.UNKNOWN, f"this gate cannot judge it: {exc}", remedy="health_gate",
                              cause="the intent file names a check that is not installed here")  # fmt: skip
            yield one.stamp(verdict, name, (intent.node,), 0.0)
        except NotSeen as exc:
            verdict = Verdict(
                Status.UNKNOWN, str(exc), cause="the intent file is of another version", remedy="health_gate"
            )
            yield one.stamp(verdict, name, (intent.node,), 0.0)
        else:
            yield one.judge(name, check, intent.node, look, intent)  # type: ignore[arg-type]


def _understood(data: bytes, *, whole: bool, timeout: float) -> Result:
    """Make a result of what the child said, also when it did not come to its end."""
    trouble = "it ended without a word" if whole else f"no answer within {timeout:g} s"
    begun: dict[str, Any] = {"node": "", "declared": "", "promises": []}
    found: list[Verdict] = []
    busy, done = "", False
    for message in _messages(data):
        kind = message["kind"]
        if kind == "refused":
            return Result("", [], refused=message["text"])
        if kind == "begun":
            begun = message
        elif kind == "judging":
            busy = message["promise"]
        elif kind == "verdict":
            found.append(verdict_of(message["verdict"]))
        elif kind == "crashed":
            trouble = f"the gate failed: {message['text']}"
        else:
            done = True
    if not done:
        left = [name for name in begun["promises"] if name not in {v.promise for v in found}]
        found += [_unjudged(name, busy, trouble, whole=whole) for name in left or ["gate"]]
    for verdict in found:
        verdict.nodes = verdict.nodes or tuple(filter(None, [begun["node"]]))
    return Result(begun["node"], found, declared=begun["declared"])


def _messages(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the whole messages; a line that was cut off is the last one."""
    for line in data.split(b"\n")[:-1]:
        try:
            yield text.loads(line.decode("ascii"))
        except (ValueError, RecursionError):
            return


def _unjudged(name: str, busy: str, trouble: str, *, whole: bool) -> Verdict:
    """Return the verdict on a promise that the gate did not come to, or did not come away from."""
    if busy and name != busy:
        verdict = Verdict(Status.UNKNOWN, f"not judged: the gate did not come away from {busy}", cause=trouble)
    else:
        hang = "something it looks at hangs: a dead file system, or a node that is overloaded"
        verdict = Verdict(Status.UNKNOWN, trouble, cause="a bug in the gate or in this check" if whole else hang)
    verdict.remedy = "inspect"
    return one.stamp(verdict, name, (), 0.0)
