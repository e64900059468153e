"""What may be declared: the roles' variables, their defaults and their types; each is said once, in the role."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import TYPE_CHECKING, Any

import yaml

from ddlcheck import rules
from ddlcheck.errors import InventoryError
from ddlcheck.intent import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A site may keep variables of its own that begin like one of ours: it lists them here.
IGNORE = "ddlcheck_ignore_variables"


def tree() -> pathlib.Path:
    """Return the folder that holds site.yml and roles/: the checkout, or what was installed with us."""
    here = pathlib.Path(__file__).parent
    for folder in (here.parent, here / "share"):
        if (folder / "roles").is_dir() and (folder / "site.yml").is_file():
            return folder
    raise InventoryError("the roles that belong to ddlcheck are not installed beside it")


@functools.cache
def defaults() -> dict[str, Any]:
    """Return every role's defaults, and those of checks that no role mends."""
    from ddlcheck import checks  # noqa: PLC0415 - below us in meaning, but its modules import intent

    out: dict[str, Any] = {}
    for path in sorted((tree() / "roles").glob("*/defaults/main.yml")):
        out.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    for check in checks.load().values():
        out.update(getattr(check, "DEFAULTS", {}))
    return out


@functools.cache
def _specs() -> dict[str, dict[str, Any]]:
    """Return the options of every role's argument spec, by role."""
    out = {}
    for path in sorted((tree() / "roles").glob("*/meta/argument_specs.yml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        out[path.parts[-3]] = dict(spec["argument_specs"]["main"].get("options", {}))
    return out


def values(node: str, raw: Mapping[str, Any], template: Callable[..., Any]) -> dict[str, Any]:
    """Return every variable of ours for one node, defaults included; raises `InventoryError`."""
    known = defaults()
    _refuse_unknown(node, raw, known)
    out = {}
    for name, default in known.items():
        # A variable that is written without a value says nothing.
        value = default if raw.get(name) is None else raw[name]
        try:
            out[name] = template(value, known)
        except InventoryError as exc:
            raise InventoryError(f"{node}: {name}: {exc}") from exc
    for role in _specs():
        checked = typed(role, out)
        if isinstance(checked, str):
            raise InventoryError(f"{node}: {checked}{_place(raw, checked)}")
        out.update(checked)
    wrong = rules.broken(out)
    if wrong:
        raise InventoryError(f"{node}: {wrong[1]}{_place(raw, wrong[0])}")
    return out


def typed(role: str, declared: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return those of the values that are the role's, with the types it gives them; or the first thing wrong."""
    picked = {name: declared[name] for name in _specs()[role] if name in declared}
    checked: dict[str, Any] | str = json.loads(_validated(role, json.dumps(picked, sort_keys=True)))
    return checked


@functools.cache
def _validated(role: str, picked: str) -> str:
    """Return the values with the types their spec gives, or the first thing wrong; as JSON, to be cached."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # noqa: PLC0415

    result = ArgumentSpecValidator(_specs()[role]).validate(json.loads(picked))
    if result.error_messages:
        return json.dumps(" ".join(str(result.error_messages[0]).split()))
    return json.dumps(result.validated_parameters)


def _refuse_unknown(node: str, raw: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise on a variable that looks like one of ours and is none: a typing error must not read as a default."""
    prefixes = tuple(f"{role}_" for role in _specs())
    own = raw.get(IGNORE) or []
    for name in raw:
        if name in known or name in own or name == IGNORE:
            continue
        near = nearest(name, list(known))
        if name.startswith(prefixes) or _slip(name, near):
            hint = f": did you mean {near}?" if near else f" (a variable of the site's own goes into {IGNORE})"
            raise InventoryError(f"{node}: there is no variable {name}{hint}{_place(raw, name)}")


def _slip(name: str, near: str) -> bool:
    """Whether a name differs from one of ours by a letter or two in the part before the first underscore."""
    import difflib  # noqa: PLC0415

    return bool(near) and "_" in name and difflib.SequenceMatcher(None, name, near).ratio() > 0.9  # noqa: PLR2004


def _place(raw: Mapping[str, Any], name: str) -> str:
    """Return where a variable was written, as far as Ansible knows."""
    value = next((v for k, v in raw.items() if k == name or k in name.split()), None)
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415

        origin = Origin.get_tag(value)
    except (ImportError, AttributeError):
        return ""
    path = getattr(origin, "path", None)
    return f" ({path}:{origin.line_num})" if path else ""
