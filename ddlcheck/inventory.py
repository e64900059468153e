"""Any Ansible inventory, read by Ansible's own loader: nodes, how to reach them, and what is promised of them."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pathlib
import re
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddlcheck import declared
from ddlcheck.errors import InventoryError
from ddlcheck.intent import Intent, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Node:
    """A host of the inventory and how to reach it."""

    name: str
    address: str
    port: int | None = None
    user: str = ""
    key_file: str = ""
    password: str = field(default="", repr=False)
    ssh_options: tuple[str, ...] = ()
    local: bool = False
    python: str = ""
    become: tuple[str, ...] = ()
    become_password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Inventory:
    """The nodes to judge, and what is promised of every host of the cluster."""

    source: str
    nodes: tuple[Node, ...]
    intents: Mapping[str, Intent]


def load(
    source: str, *, limit: str = "", vault_password_file: str = "", extra_vars: Mapping[str, Any] | None = None
) -> Inventory:
    """Read an inventory: a file, a directory, a script, or ``a,b,``.

    Raises `InventoryError` with one sentence: unreadable, no such host or group, no host at all, an unknown
    variable, a value of the wrong type.
    """
    if "," not in source:
        _must_be_readable(pathlib.Path(source))
    with _deadline(source):
        loader, manager, variables = _open(source, vault_password_file, dict(extra_vars or {}))
    everyone = manager.get_hosts("all")
    if not everyone:
        raise InventoryError(f"{source}: the inventory holds no host")
    raw = {str(host.name): _vars(variables, host, source) for host in everyone}
    chosen = _choose(manager, limit, source)
    values = {name: declared.values(name, found, _Template(loader, found)) for name, found in raw.items()}
    for name, found in values.items():
        found["hosts_file_address"] = found["hosts_file_address"] or _literal(raw[name].get("ansible_host", name))
        # Many inventories name the rack already; it is the same word for the fabric's classes of pairs.
        found["fabric_rack"] = found["fabric_rack"] or _Template(loader, raw[name])(raw[name].get("rack", ""))
    cluster = _cluster(values, source)
    intents = {name: Intent(name, values[name], cluster) for name in values}
    nodes = tuple(_node(name, raw[name], _Template(loader, raw[name])) for name in chosen)
    return Inventory(source, nodes, intents)


#: Seconds an inventory may take; a script may ask a slow service, but nothing waits for ever.
_SECONDS = 120


@contextlib.contextmanager
def _deadline(source: str) -> Iterator[None]:
    """Raise `InventoryError` when reading takes too long, and end the script that was waited for."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return

    def late(_signal: int, _frame: object) -> None:
        for pid in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        raise InventoryError(f"{source}: the inventory could not be read within {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _must_be_readable(path: pathlib.Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except FileNotFoundError:
        hint = f" (for a list of hosts write '{path},')" if "/" not in str(path) else ""
        raise InventoryError(f"{path}: there is no such inventory{hint}") from None
    except OSError as exc:
        raise InventoryError(f"{path}: the inventory cannot be read: {exc.strerror}") from exc


def _open(source: str, vault_password_file: str, extra_vars: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Start Ansible's loader, inventory manager and variable manager."""
    os.environ.setdefault("ANSIBLE_LOCALHOST_WARNING", "false")
    from ansible import constants  # noqa: PLC0415
    from ansible.errors import AnsibleError  # noqa: PLC0415 - 0.3 s, and only some verbs need it
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.vars.manager import VariableManager  # noqa: PLC0415

    # An inventory that is only partly readable must not become a smaller cluster. The environment would be too late
    # for this where something else has imported Ansible already.
    constants.INVENTORY_ANY_UNPARSED_IS_FAILED = True
    said: list[str] = []
    _hush(said)
    loader = DataLoader()
    try:
        _unlock(loader, vault_password_file)
        manager = InventoryManager(loader=loader, sources=[source])
        variables = VariableManager(loader=loader, inventory=manager)
        variables._extra_vars.update(extra_vars)  # noqa: SLF001 - Ansible's own command line sets no other way
    except AnsibleError as exc:
        why = _cause(said)
        raise InventoryError(f"{source}: {_sentence(exc)}" + (f" ({why})" if why else "")) from exc
    return loader, manager, variables


def _cause(said: list[str]) -> str:
    """Return what Ansible's plugins said of an inventory they could not read, the shortest that tells most."""
    text = " ".join(" ".join(said).split())
    if "vault" in text.lower():
        return "it holds vaulted values: give --vault-password-file"
    parts = [part.split("Origin:")[0].split("[WARNING]")[0].strip(" :") for part in text.split("<<< caused by >>>")[1:]]
    return "; ".join(dict.fromkeys(part for part in parts if part))[:300]


def _hush(said: list[str]) -> None:
    """Keep Ansible's warnings off the screen, for the one sentence that says what is wrong."""
    from ansible.utils.display import Display  # noqa: PLC0415

    display = Display()  # a singleton, through whose `display` everything goes
    display.display = lambda msg, *_args, **_more: said.append(re.sub(r"\x1b\[[0-9;]*m", "", str(msg)))
    display.deprecated = lambda *_args, **_more: None


def _unlock(loader: Any, vault_password_file: str) -> None:  # noqa: ANN401 - Ansible is untyped
    from ansible import constants  # noqa: PLC0415
    from ansible.parsing.vault import get_file_vault_secret  # noqa: PLC0415

    secrets = []
    given = [("default", vault_password_file)] if vault_password_file else []
    given += [("default", constants.DEFAULT_VAULT_PASSWORD_FILE)] if constants.DEFAULT_VAULT_PASSWORD_FILE else []
    given += [tuple(word.rpartition("@")[::2]) for word in constants.DEFAULT_VAULT_IDENTITY_LIST or []]
    for name, path in given:
        if path == "prompt":
            raise InventoryError("a vault password cannot be asked for here: give --vault-password-file")
        secret = get_file_vault_secret(filename=path, vault_id=name or "default", loader=loader)
        secret.load()
        secrets.append((name or "default", secret))
    loader.set_vault_secrets(secrets)


def _vars(variables: Any, host: Any, source: str) -> dict[str, Any]:  # noqa: ANN401
    from ansible.errors import AnsibleError  # noqa: PLC0415

    try:
        found: dict[str, Any] = variables.get_vars(host=host, include_hostvars=False)
    except AnsibleError as exc:
        raise InventoryError(f"{source}: variables of {host.name}: {_sentence(exc)}") from exc
    return found


def _choose(manager: Any, limit: str, source: str) -> list[str]:  # noqa: ANN401
    """Return the names a limit selects; every part of it has to match something."""
    from ansible.errors import AnsibleError  # noqa: PLC0415

    known = [str(h.name) for h in manager.get_hosts("all")] + list(manager.groups)
    for word in limit.split(","):
        part = word.strip().lstrip("&!").split("[")[0]
        if part and not part.startswith(("~", "@")) and not any(c in part for c in "*?:") and part not in known:
            near = nearest(part, known)
            hint = f": did you mean {near}?" if near else ""
            raise InventoryError(f"--limit: {source} has no host or group {part!r}{hint}")
    try:
        manager.subset(limit or None)
        chosen = [str(host.name) for host in manager.get_hosts("all")]
    except AnsibleError as exc:
        raise InventoryError(f"--limit: {_sentence(exc)}") from exc
    if not chosen:
        raise InventoryError(f"--limit {limit}: no host of {source} matches")
    for name in chosen:
        if name.startswith("-"):
            raise InventoryError(f"{source}: host name {name!r} would be read as an option; rename it")
        if not re.fullmatch(r"[\w.:%-]{1,253}", name, re.ASCII):
            raise InventoryError(f"{source}: {name!r} is no host name")
    return chosen


def _cluster(values: Mapping[str, dict[str, Any]], source: str) -> dict[str, dict[str, Any]]:
    """Return the hosts that make up the cluster, in the inventory's order."""
    members = [str(name) for name in next(iter(values.values()))["hosts_file_hosts"]] or list(values)
    for name in members:
        if name not in values:
            near = nearest(name, list(values))
            raise InventoryError(f"{source}: hosts_file_hosts names {name!r}, which is not in the inventory"
                                 + (f": did you mean {near}?" if near else ""))  # fmt: skip
    return {name: values[name] for name in members}


class _Template:
    """Jinja, only where there is some."""

    def __init__(self, loader: Any, variables: Mapping[str, Any]) -> None:  # noqa: ANN401
        self._loader = loader
        self._variables = variables

    def __call__(self, value: Any, defaults: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Return a plain JSON value; raises `InventoryError` on what Jinja cannot do."""
        if _has_jinja(value):
            from ansible.errors import AnsibleError  # noqa: PLC0415
            from ansible.template import Templar  # noqa: PLC0415

            templar = Templar(loader=self._loader, variables={**(defaults or {}), **self._variables})
            try:
                value = templar.template(value)
            except AnsibleError as exc:
                raise InventoryError(f"{value}: {_sentence(exc)}") from exc
        elif type(value).__name__ == "EncryptedString":
            from ansible.errors import AnsibleError  # noqa: PLC0415

            try:
                return str(value)
            except AnsibleError as exc:
                raise InventoryError(f"a vaulted value: {_sentence(exc)}") from exc
        return json.loads(json.dumps(value)) if not isinstance(value, str) else str(value)


def _has_jinja(value: object) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(map(_has_jinja, value.values()))
    return isinstance(value, list) and any(map(_has_jinja, value))


def _node(name: str, raw: Mapping[str, Any], template: _Template) -> Node:
    def text(*names: str) -> str:
        for variable in names:
            if raw.get(variable) not in (None, ""):
                return str(template(raw[variable]))
        return ""

    port = text("ansible_port", "ansible_ssh_port")
    if port and not (port.isdigit() and 0 < int(port) < 65536):  # noqa: PLR2004 - what TCP has
        raise InventoryError(f"{name}: ansible_port is {port!r}, not a number from 1 to 65535")
    connection = text("ansible_connection") or "ssh"
    if connection not in ("ssh", "smart", "paramiko", "paramiko_ssh", "local"):
        raise InventoryError(f"{name}: ansible_connection {connection!r} is not supported: ssh or local")
    address = text("ansible_host", "ansible_ssh_host") or name
    if address.startswith("-"):
        raise InventoryError(f"{name}: ansible_host {address!r} would be read as an option")
    options = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
    python = text("ansible_python_interpreter")
    password = text("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
    return Node(
        name=name,
        address=address,
        port=int(port) if port else None,
        user=text("ansible_user", "ansible_ssh_user"),
        key_file=text("ansible_ssh_private_key_file", "ansible_private_key_file"),
        password=text("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        ssh_options=tuple(filter(None, map(text, options))),
        local=connection == "local",
        python="" if python.startswith("auto") else python,
        become=_become(name, text, bool(password)),
        become_password=password,
    )


def _become(name: str, text: Any, has_password: bool) -> tuple[str, ...]:  # noqa: ANN401, FBT001
    """Return the command that takes privilege, empty where none is declared."""
    if text("ansible_become").lower() not in ("true", "yes", "1", "on"):
        return ()
    method = text("ansible_become_method") or "sudo"
    if method != "sudo":
        raise InventoryError(f"{name}: ansible_become_method {method!r} is not supported: sudo")
    user = text("ansible_become_user") or "root"
    return ("sudo", *(("-S", "-p", "") if has_password else ("-n",)), "-H", "-u", user, "--")


def _literal(address: object) -> str:
    """Return an address that is one, and nothing for a name."""
    try:
        return str(ipaddress.ip_address(str(address)))
    except ValueError:
        return ""


def _sentence(exc: BaseException) -> str:
    """Return Ansible's message on one line."""
    return " ".join(str(exc).split())[:400]
