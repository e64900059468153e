"""How a node is reached: the inventory's words and the user's ssh_config, made into one route.

Pure but for reading the user's configuration. What paramiko cannot honour is not dropped in silence: the
route then says ``via_ssh`` and why, and the ssh program is used, which honours everything.
"""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import paramiko

from ddlcheck.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ddlcheck.inventory import Node

#: ssh_config words that paramiko can honour here, or that change nothing for us.
_KNOWN = {
    "hostname", "port", "user", "identityfile", "identitiesonly", "certificatefile", "userknownhostsfile",
    "globalknownhostsfile", "hostkeyalias", "proxyjump", "stricthostkeychecking", "connecttimeout",
    "batchmode", "controlmaster", "controlpath", "controlpersist", "forwardagent", "forwardx11",
    "serveraliveinterval", "serveralivecountmax", "compression", "loglevel", "hashknownhosts",
    "passwordauthentication", "kbdinteractiveauthentication", "preferredauthentications",
    "pubkeyauthentication", "addkeystoagent", "sendenv", "checkhostip", "updatehostkeys", "visualhostkey",
    "tcpkeepalive", "forwardx11trusted", "requesttty", "numberofpasswordprompts", "kexalgorithms",
    "connectionattempts", "exitonforwardfailure", "challengeresponseauthentication",
}  # fmt: skip
#: Ways to log in that paramiko lacks, and that distributions switch on for everybody: only where our keys are
#: refused does the ssh program get its turn with them.
_OTHER_WAYS = {"gssapiauthentication", "gssapidelegatecredentials", "gssapikeyexchange", "hostbasedauthentication"}
_FLAGS = {"-4", "-6", "-A", "-a", "-C", "-q", "-T", "-x", "-X", "-v", "-n"}


@dataclass(frozen=True)
class Route:
    """Where, as whom, and with which keys; ``argv`` is the same for the ssh program."""

    host: str
    port: int
    user: str
    identities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    known_hosts: tuple[str, ...] = ()
    #: The name under which the host key is looked up.
    key_name: str = ""
    password: str = field(default="", repr=False)
    jumps: tuple[Route, ...] = ()
    via_ssh: str = ""
    #: Whether the user's configuration allows a login that only the ssh program knows.
    other_ways: bool = False
    argv: tuple[str, ...] = ()


def _words(option: str) -> list[str]:
    try:
        return shlex.split(option)
    except ValueError as exc:
        raise InventoryError(f"ansible_ssh_*_args cannot be split into words: {exc}: {option}") from exc


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Read ssh's own command-line words as ssh_config lines; an unknown one is passed on as such."""
    letters = {"-i": "identityfile", "-p": "port", "-l": "user", "-J": "proxyjump", "-F": "-F"}
    todo = list(words)
    while todo:
        word = todo.pop(0)
        if word in _FLAGS:
            continue
        flag, value = word[:2], word[2:]
        if flag == "-o" or flag in letters:
            value = value or (todo.pop(0) if todo else "")
            if flag != "-o":
                yield letters[flag], value
                continue
            name, _, setting = value.replace("=", " ", 1).strip().partition(" ")
            yield name.lower(), setting.strip()
        else:
            yield "unknown", word


@functools.cache
def _config(path: str) -> paramiko.SSHConfig:
    """Read one ssh_config file; an unreadable one is empty, as it is for ssh."""
    config = paramiko.SSHConfig()
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return config
    config.parse(text.splitlines())
    return config


@functools.cache
def _raw(path: str) -> str:
    try:
        return pathlib.Path(path).expanduser().read_text(encoding="utf-8", errors="replace").lower()
    except OSError:
        return ""


def _lookup(paths: tuple[str, ...], host: str) -> dict[str, list[str]]:
    """Return the settings that apply to a host, the first file's first, lists kept as lists."""
    out: dict[str, list[str]] = {}
    for path in paths:
        if _beyond_its_parser(path):
            continue  # `_beyond_paramiko` says so; and `Match exec` would run commands here
        try:
            found = _config(path).lookup(host)
        except (paramiko.ConfigParseError, ImportError):
            out.setdefault("unknown", []).append(f"{path} is beyond paramiko's parser")
            continue
        for name, value in found.items():
            values = value if isinstance(value, list) else [value]
            if name in ("identityfile", "certificatefile", "sendenv"):
                out.setdefault(name, []).extend(values)
            elif name != "hostname" or value != host:
                out.setdefault(name, values)
    return out


def _beyond_paramiko(settings: Mapping[str, list[str]], paths: tuple[str, ...]) -> str:
    """Say which of the user's settings only the ssh program can honour; empty: none."""
    for name, values in settings.items():
        if name == "proxycommand" and values[:1] in (["none"], []):
            continue
        if name == "identityagent" and values[:1] in (["none"], ["SSH_AUTH_SOCK"]):
            continue
        if name in _OTHER_WAYS or name in ("include", "match"):  # the latter two are looked for in the files
            continue
        if name not in _KNOWN:
            return f"{name} {values[0] if values else ''}".strip()
        if any("%" in value for value in values) and name not in ("controlpath", "hostname"):
            return f"{name} with a % token"
    return next(filter(None, map(_beyond_its_parser, paths)), "")


@functools.cache
def _beyond_its_parser(path: str) -> str:
    """Name what a file holds that paramiko neither follows nor evaluates; empty: nothing."""
    for line in _raw(path).splitlines():
        word = line.strip().partition(" ")[0]
        # The system's own include is read beside the file that includes it.
        if word == "match" or (word == "include" and "/etc/ssh/ssh_config.d/*.conf" not in line):
            return f"{word} in {path}"
    return ""


def _expand(paths: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(pathlib.Path(path).expanduser()) for path in paths if path.lower() != "none"))


def _default_identities() -> list[str]:
    return [f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa")]


@functools.cache
def _system_files() -> tuple[str, ...]:
    """Return the configuration ssh reads where no -F says otherwise, the system's own include in its place."""
    included = sorted(map(str, pathlib.Path("/etc/ssh/ssh_config.d").glob("*.conf")))
    return ("~/.ssh/config", *included, "/etc/ssh/ssh_config")


def plan(node: Node) -> Route:
    """Return the route to an inventory's node."""
    words = [word for option in node.ssh_options for word in _words(option)]
    given: dict[str, list[str]] = {}
    files = _system_files()
    for name, value in _options(words):
        if name == "-F":
            files = () if value == "none" else (value,)
        elif name in ("identityfile", "certificatefile"):
            given.setdefault(name, []).append(value)
        else:
            given.setdefault(name, [value])
    if node.key_file:
        given.setdefault("identityfile", []).insert(0, node.key_file)
    if node.port:
        given["port"] = [str(node.port)]
    if node.user:
        given["user"] = [node.user]
    route = _route(node.address, given, files, node.password)
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ControlPath=none", "-T", *words]
    if node.key_file:
        argv += ["-i", node.key_file]
    if node.port:
        argv += ["-p", str(node.port)]
    if node.user:
        argv += ["-l", node.user]
    return Route(**{**route.__dict__, "argv": (*argv, "--", node.address)})


def _route(
    host: str, given: Mapping[str, list[str]], files: tuple[str, ...], password: str = "", depth: int = 0
) -> Route:
    settings = {**_lookup(files, host), **{k: v for k, v in given.items() if k != "identityfile"}}
    settings["identityfile"] = [*given.get("identityfile", []), *_lookup(files, host).get("identityfile", [])]
    if not settings["identityfile"]:
        del settings["identityfile"]

    def first(name: str, default: str = "") -> str:
        return (settings.get(name) or [default])[0]

    address = first("hostname", host).replace("%h", host)
    port = int(first("port", "22")) if first("port", "22").isdigit() else 22
    reason = _beyond_paramiko(settings, files)
    jumps: tuple[Route, ...] = ()
    jump = first("proxyjump")
    if jump and jump.lower() != "none" and not reason:
        if depth > 4:  # noqa: PLR2004 - a loop in somebody's configuration
            raise InventoryError(f"the ProxyJump of {host} leads through more than four hosts")
        jumps = tuple(_jump(word, files, depth, settings) for word in jump.split(","))
        reason = next((f"ProxyJump {j.host}: {j.via_ssh}" for j in jumps if j.via_ssh), "")
    known = " ".join(settings.get("userknownhostsfile", ["~/.ssh/known_hosts ~/.ssh/known_hosts2"]))
    glob = " ".join(settings.get("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"]))
    alias = first("hostkeyalias")
    return Route(
        host=address,
        port=port,
        user=first("user") or os.environ.get("USER") or "root",
        identities=_expand(settings.get("identityfile") or _default_identities()),
        certificates=_expand(settings.get("certificatefile", [])),
        identities_only=first("identitiesonly", "no").lower() == "yes",
        known_hosts=_expand(shlex.split(known) + shlex.split(glob)),
        key_name=alias or (address if port == 22 else f"[{address}]:{port}"),  # noqa: PLR2004
        password=password,
        jumps=jumps,
        via_ssh=reason,
        other_ways=any(first(name, "no").lower() == "yes" for name in _OTHER_WAYS),
    )


def _jump(word: str, files: tuple[str, ...], depth: int, settings: Mapping[str, list[str]]) -> Route:
    """Read ``[user@]host[:port]`` (or an ssh:// URL) of a ProxyJump; its own configuration applies to it."""
    word = word.strip().removeprefix("ssh://")
    user, at, rest = word.rpartition("@")
    host, colon, port = rest.rpartition(":") if rest.count(":") == 1 else (rest, "", "")
    given: dict[str, list[str]] = {}
    if at:
        given["user"] = [user]
    if colon:
        given["port"] = [port]
    # Like ssh, a jump takes nothing from the target's command line; an inventory's pinned keys are meant for both.
    for name in ("userknownhostsfile", "globalknownhostsfile"):
        if name in settings:
            given[name] = settings[name]
    return _route(host, given, files, depth=depth + 1)


class KnownHosts:
    """The host keys of a set of known_hosts files, found without reading the files once a host."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._plain: dict[str, list[paramiko.PKey]] = {}
        self._hashed: list[tuple[str, paramiko.PKey]] = []
        self._wild: list[tuple[list[str], paramiko.PKey]] = []
        self._marked: list[list[str]] = []
        for path in paths:
            for line in _known_lines(path):
                self._take(line)

    def _take(self, line: str) -> None:
        words = line.split()
        if words[0].startswith("@"):
            self._marked.append(words[1].split(",") if len(words) > 1 else [])
            return
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        except (paramiko.SSHException, ValueError):
            return
        if entry is None or entry.key is None or not entry.hostnames:
            return
        patterns = list(entry.hostnames)
        if any(c in pattern for pattern in patterns for c in "*?!"):
            self._wild.append((patterns, entry.key))
        for pattern in patterns:
            if pattern.startswith("|1|"):
                self._hashed.append((pattern, entry.key))
            else:
                self._plain.setdefault(pattern, []).append(entry.key)

    def keys(self, name: str) -> list[paramiko.PKey]:
        """Return the keys known for a name."""
        found = list(self._plain.get(name, []))
        found += [key for patterns, key in self._wild if _matches(name, patterns)]
        found += [key for salted, key in self._hashed if paramiko.HostKeys.hash_host(name, salted) == salted]
        return found

    def marked(self, name: str) -> bool:
        """Whether a @cert-authority or @revoked line speaks of the name: only the ssh program reads those."""
        return any(_matches(name, patterns) for patterns in self._marked)


def _matches(name: str, patterns: list[str]) -> bool:
    if any(p.startswith("!") and _glob(name, p[1:]) for p in patterns):
        return False
    return any(_glob(name, p) for p in patterns if not p.startswith("!"))


def _glob(name: str, pattern: str) -> bool:
    """Match as OpenSSH does: only * and ? are special; brackets belong to [host]:port."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name) is not None


def _known_lines(path: str) -> list[str]:
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
