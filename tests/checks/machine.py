"""Captured machines for the checks' tests: load one, change a little of it, judge it."""

from __future__ import annotations

import copy
import functools
import json
import pathlib
from typing import Any

from ddlcheck import checks, run
from ddlcheck.intent import Intent
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import Answer

MACHINES = pathlib.Path(__file__).parents[1] / "machines"


@functools.cache
def _load(name: str) -> Any:
    return json.loads((MACHINES / f"{name}.json").read_text(encoding="utf-8"))


class Cluster:
    """What one check sees of a captured cluster; ``values`` are declared anew for all of its nodes."""

    def __init__(self, check: str, name: str = "ready", **values: Any) -> None:
        saved = copy.deepcopy(_load(name))
        self.check = checks.load([check])[check]
        self.promise = check
        kept = {node: {**declared, **values} for node, declared in saved["intent"].items()}
        self.intents = {node: Intent(node, kept[node], kept) for node in kept}
        self.seen = {
            node: {want: Answer.from_json(got) for want, got in saved["seen"][node][check].items()} for node in kept
        }
        for answers in self.seen.values():
            for want in self.check.wants(next(iter(self.intents.values()))):
                answers.setdefault(want, Answer(why="not asked"))

    def put(self, node: str, want: str, text: str = "", **fields: Any) -> Cluster:
        """Replace one answer."""
        self.seen[node][want] = Answer(text, **fields)
        return self

    def edit(self, node: str, want: str, path: str, text: str | None) -> Cluster:
        """Replace one file of an answer that holds several, or take it away."""
        data = self.seen[node][want].data
        data.pop(path, None)
        if text is not None:
            data[path] = text
        return self

    def overlay(self, fault: str) -> str:
        """Put the answers in that were captured with a fault; return the broken node."""
        changed = json.loads((MACHINES / "faults" / f"{fault}.json").read_text(encoding="utf-8"))
        for node, answers in changed["seen"].items():
            for want, got in answers.items():
                self.seen[node][want] = Answer.from_json(got)
        return str(changed["node"])

    def judge(self, node: str = "minsky2") -> Verdict:
        """Judge one node as the runner does: what cannot be seen, or crashes the judge, is UNKNOWN."""
        verdict = run._one(self.promise, self.check, node, self.seen[node], self.intents[node])
        assert verdict.status in (Status.PASS, Status.WARN, Status.SKIP) or verdict.cause
        return verdict

    def together(self) -> list[Verdict]:
        """Judge all nodes together, as the runner does."""
        return run._together(self.promise, self.check, self.seen, self.intents)

    def bad(self) -> list[Verdict]:
        """Return every verdict on any node, alone or together, that is not in order."""
        together = self.together() if hasattr(self.check, "judge_together") else []
        return [v for v in [*map(self.judge, self.seen), *together] if v.status not in (Status.PASS, Status.SKIP)]


#: Answers that must never make a pass: what a broken, hostile or silent node sends instead of what was asked.
GARBAGE = (
    Answer(why="missing"), Answer(why="denied"), Answer(why="deadline"), Answer(why="hung"), Answer(why="too much"),
    Answer(why="not asked"), Answer(""), Answer("\x00\xff" * 50), Answer("<html>", rc=0), Answer("{}", rc=0), Answer("[1]", rc=0),
    Answer("x", rc=1), Answer(data=None), Answer(data=[]), Answer(data={}), Answer(data=7), Answer(data="unlimited"),
    Answer(data={"soft": "unlimited\n; rm", "hard": {}, "user": 1}), Answer(data={"forward": [], "reverse": 3}),
    Answer(data={"node": "now", "after": None, "before": True}), Answer("9" * 5000, rc=0), Answer("[[[" * 3000, rc=0),
)  # fmt: skip
