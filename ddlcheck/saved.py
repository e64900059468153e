"""What was promised and what was seen, on disk: to judge again elsewhere, and for `ddlcheck node`.

``DIR/intent.json`` holds ``{"version", "sha256", "nodes": {node: {variable: value}}}``; the digest is of the
canonical JSON of ``nodes``. ``DIR/seen/NODE.json`` holds what one node answered, or why it did not.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import tempfile
import urllib.parse
from typing import TYPE_CHECKING, Any

from ddlcheck.errors import NodeError, UsageError
from ddlcheck.intent import VERSION, Intent
from ddlcheck.wants import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A file larger than this is not one of ours.
_MAX = 256 * 1024 * 1024


def write(path: pathlib.Path, text: str) -> None:
    """Write a whole file or none; the folder is made. Raises `UsageError` when that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            pathlib.Path(temporary).chmod(0o644)
            pathlib.Path(temporary).replace(path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc


def _digest(nodes: object) -> str:
    return hashlib.sha256(json.dumps(nodes, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def save_intents(path: pathlib.Path, intents: Mapping[str, Intent]) -> None:
    """Write the intents of a whole cluster."""
    some = next(iter(intents.values()))
    nodes = {name: dict(some.cluster[name]) for name in some.cluster}
    body = {"version": VERSION, "sha256": _digest(nodes), "nodes": nodes}
    write(path, json.dumps(body, indent=1) + "\n")


def load_intents(path: pathlib.Path) -> dict[str, Intent]:
    """Read what `save_intents` wrote; anything else is refused with one sentence."""
    body = _json(path)
    if body.get("version") != VERSION:
        raise UsageError(f"{path}: intent of version {body.get('version')!r}; this ddlcheck reads {VERSION}")
    nodes = body.get("nodes")
    if not isinstance(nodes, dict) or not nodes or not all(isinstance(v, dict) for v in nodes.values()):
        raise UsageError(f"{path}: holds no intent of any node")
    if body.get("sha256") != _digest(nodes):
        raise UsageError(f"{path}: the intent does not match its digest; it was cut short or edited")
    return {name: Intent(name, values, nodes) for name, values in nodes.items()}


def save_seen(folder: pathlib.Path, gathered: Mapping[str, dict[str, Answer] | NodeError]) -> None:
    """Write what each node answered."""
    for name, got in gathered.items():
        if isinstance(got, NodeError):
            body: dict[str, Any] = {"node": name, "error": {"reason": got.reason, "message": str(got)}}
        else:
            body = {"node": name, "answers": {key: answer.to_json() for key, answer in got.items()}}
        write(folder / "seen" / f"{urllib.parse.quote(name, safe='')}.json", json.dumps(body, indent=1) + "\n")
    write(folder / "asked.json", json.dumps({"nodes": list(gathered)}, indent=1) + "\n")


def load_seen(folder: pathlib.Path, known: Mapping[str, Intent]) -> dict[str, dict[str, Answer] | NodeError]:
    """Read what was saved; a node that was asked but left no file could not tell."""
    names = _json(folder / "asked.json").get("nodes")
    if not isinstance(names, list) or not names or not all(name in known for name in names):
        raise UsageError(f"{folder / 'asked.json'}: does not list nodes of {folder / 'intent.json'}")
    out: dict[str, dict[str, Answer] | NodeError] = {}
    for name in names:
        path = folder / "seen" / f"{urllib.parse.quote(name, safe='')}.json"
        if not path.exists():
            out[name] = NodeError("interrupted", "nothing was saved of this node")
            continue
        body = _json(path)
        error, answers = body.get("error"), body.get("answers")
        if isinstance(error, dict):
            out[name] = NodeError(str(error.get("reason")), str(error.get("message")))
        elif isinstance(answers, dict):
            out[name] = {key: Answer.from_json(record) for key, record in answers.items()}
        else:
            raise UsageError(f"{path}: holds neither answers nor an error")
    return out


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX:
            raise UsageError(f"{path}: {path.stat().st_size >> 20} MiB is no file of ours")
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise UsageError(f"{path}: is not a JSON object")
    return body
