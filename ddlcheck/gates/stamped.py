"""What the background tier found, and when: written by `background`, read by the gate."""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.gates import files, moments, text
from ddlcheck.gates.result import verdict_of
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ddlcheck.wants import Want

PATH = "/run/ddlcheck/background.json"
VERSION = 1
_MOST = 16 << 20
_CAUSE = "the background tier has no fresh result: look at ddlcheck.timer and ddlcheck.service"


def write(path: str, declared: str, verdicts: list[Verdict], answers: Mapping[str, Answer]) -> None:
    """Keep what was found; raises `NotSeen` where that is not possible."""
    body = {
        "version": VERSION, "declared": declared, **moments.stamp(),
        "verdicts": {verdict.promise: verdict.to_json() for verdict in verdicts},
        "answers": {key: answer.to_json() for key, answer in answers.items()},
    }  # fmt: skip
    files.replace(path, f"{text.dumps(body)}\n".encode())


class Stamped:
    """What was kept, for one intent; everything that is not fresh or not of this intent is unknown, and says why."""

    def __init__(self, body: Mapping[str, Any], *, why: str = "", age: float = 0.0) -> None:
        self._body = body
        self.why = why
        self.age = age

    @classmethod
    def kept(cls, path: str, declared: str, max_age: float) -> Stamped:
        """Return what is in the file, if it is of this intent and at most ``max_age`` seconds old."""
        try:
            body = _load(path)
            if body.get("declared") != declared:
                raise NotSeen(f"{path} is of another intent than the one that is declared now")
            return cls(body, age=moments.fresh(path, body, max_age))
        except NotSeen as exc:
            return cls({}, why=str(exc))

    @classmethod
    def just_now(cls, verdicts: list[Verdict], answers: Mapping[str, Answer]) -> Stamped:
        """Return what was found this moment, without keeping it."""
        return cls({
            "verdicts": {v.promise: v.to_json() for v in verdicts},
            "answers": {key: answer.to_json() for key, answer in answers.items()},
        })  # fmt: skip

    def verdict(self, promise: str, node: str) -> Verdict:
        """Return the kept verdict of a whole check."""
        record = self._body.get("verdicts", {}).get(promise)
        try:
            if record is None:
                raise NotSeen(self.why or f"the background tier said nothing of {promise}")
            found = verdict_of(record)
            if found.promise != promise:
                raise ValueError(found.promise)
        except NotSeen as exc:
            found = Verdict(Status.UNKNOWN, str(exc), cause=_CAUSE, remedy="health_gate")
        except (KeyError, TypeError, ValueError) as exc:
            found = Verdict(
                Status.UNKNOWN, f"a kept verdict of an unknown form: {exc}", cause=_CAUSE, remedy="health_gate"
            )
        else:
            found.evidence["age_s"] = round(self.age, 1)
        found.promise, found.nodes = promise, (node,)
        return found

    def answer(self, want: Want) -> Answer:
        """Return the kept answer to one slow want."""
        record = self._body.get("answers", {}).get(text.dumps(want))
        if record is None:
            return Answer(why="not asked", err=self.why or "the background tier was not asked for it")
        return Answer.from_json(record)


def _load(path: str) -> dict[str, Any]:
    data = files.read(path, _MOST)
    try:
        body = text.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as exc:
        raise NotSeen(f"{path} is not JSON: {exc}") from exc
    if type(body) is not dict or body.get("version") != VERSION or not data.endswith(b"\n"):
        raise NotSeen(f"{path} has an unknown form")
    if type(body.get("verdicts")) is not dict or type(body.get("answers")) is not dict:
        raise NotSeen(f"{path} has an unknown form")
    return body
