"""What a declared value has to look like beyond its type: the roles' own assertions, for who only looks.

A value that cannot be meant is refused before any node is asked, or it would read as a sick node, or as a well one.
"""

from __future__ import annotations

import ipaddress
import math
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_NAME = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (str, int)) and re.fullmatch(pattern, str(value), re.ASCII) is not None


def _address(value: Any) -> bool:  # noqa: ANN401 - YAML
    if value == "":
        return True
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


def _number(least: float, most: float = math.inf, *, above: bool = False) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:  # noqa: ANN401 - YAML
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return False
        try:
            number = float(value)
        except ValueError:
            return False
        return math.isfinite(number) and (number > least if above else number >= least) and number <= most

    return fits


def _mounts(value: Any) -> bool:  # noqa: ANN401 - YAML
    words = [str(entry.get(name) or "") for entry in value for name in ("path", "source", "options", "scratch")]
    paths = [str(entry["path"]) for entry in value]
    inside = [str(entry.get("scratch") or "") for entry in value]
    return (
        not any(re.search(r"\s", word) for word in words)
        and all(re.fullmatch(r"/([^/]+/)*[^/]+", path) for path in paths)
        and len(set(paths)) == len(paths)
        and not any(path.startswith("/") or ".." in path.split("/") for path in inside)
    )


def _sets(value: Any) -> bool:  # noqa: ANN401 - YAML
    names = [str(entry["name"]) for entry in value]
    return len(set(names)) == len(names) and all(
        re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", str(entry["name"]))
        and re.fullmatch(r"/([^/\s]+/)+[^/\s]+", str(entry["dest"]))
        and re.fullmatch("[0-9a-fA-F]{64}", str(entry["digest"]))
        and (entry.get("mode") != "partitioned" or entry.get("nodes"))
        for entry in value
    )


_AMOUNT = r"[0-9]{1,15}(\.[0-9]+)?%?"


def _names(pattern: str) -> Callable[[Any], bool]:
    fits = _matches(pattern)
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _records(needed: str, **fields: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a rule for a list of dictionaries: one field each has to have, and what those that are known look like."""

    def fits(value: Any) -> bool:  # noqa: ANN401 - YAML
        return isinstance(value, list) and all(
            isinstance(entry, dict) and needed in entry and all(k in fields and fields[k](v) for k, v in entry.items())
            for entry in value
        )

    return fits


def _list_of(kinds: tuple[type, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(word, kinds) for word in value)


_COUNT = (
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "a whole number, 0 for any",
)
_KIB = (_number(0), "a number of KiB, 0 for any")
_PATH, _FIT = _matches("/.*"), _matches(_AMOUNT)
_FILESYSTEM = {
    "path": _PATH, "type": _matches(r"\S+"), "source": _matches(r"\S+"), "options": _list_of((str,)),
    "mounted": lambda value: isinstance(value, bool), "size_min": _FIT, "size_max": _FIT, "free_min": _FIT,
    "used_max": _FIT, "inodes_free_min": _FIT,
}  # fmt: skip
_FILE = {
    "path": _PATH, "kind": _matches("file|directory|character|block|fifo|socket|absent"),
    "mode": _matches("[0-7]{3,4}"),
    "uid": _matches("[0-9]+"), "gid": _matches("[0-9]+"), "size_min": _number(0),
}  # fmt: skip
_COMMAND = {
    "run": lambda value: _list_of((str, int))(value) and bool(value), "status": _matches("[0-9]{1,3}"),
    "output": _list_of((str,)),
}  # fmt: skip
_RESOURCES = {
    **{f"resources_{name}": _COUNT for name in ("sockets", "cores", "threads")},
    **{f"resources_{name}": _KIB for name in (
        "memory_min", "memory_max", "memory_free_min", "swap_min", "swap_max", "swap_free_min")},
    "resources_interfaces": (_names("[A-Za-z0-9][A-Za-z0-9_.:-]{0,14}"), "a list of network interfaces"),
    "resources_services": (_names("[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}"), "a list of systemd services"),
    "resources_filesystems": (
        _records("path", **_FILESYSTEM),
        f"a list of {{path, …}}, with any of {', '.join(_FILESYSTEM)}; amounts in KiB, or a share as '5%'",
    ),
    "resources_files": (_records("path", **_FILE), f"a list of {{path, …}}, with any of {', '.join(_FILE)}"),
    "resources_commands": (
        _records("run", **_COMMAND), f"a list of {{run: [word, …], …}}, with any of {', '.join(_COMMAND)}"
    ),
}  # fmt: skip

#: Variable: (what fits, what it has to be).
RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **_RESOURCES,
    "health_gate_interval": (_number(10), "at least 10 seconds"),
    "health_gate_max_age": (_number(20), "a number of seconds, at least twice health_gate_interval"),
    "health_gate_timeout": (_number(1, 55), "from 1 to 55 seconds"),
    "health_gate_intent_max_age": (_number(0), "a number of seconds, 0 for never"),
    "health_gate_breaker_share": (_number(0, 1, above=True), "a share above 0 and at most 1"),
    "health_gate_breaker_window": (_number(1), "at least 1 second"),
    "health_gate_textfile": (_matches(r"|/[^ %]*\.prom"), "an absolute path that ends in .prom, or empty"),
    "memlock_limit": (_matches("unlimited|[1-9][0-9]{0,12}"), "a number of KiB, or the word unlimited"),
    "clock_max_spread": (_number(0, above=True), "a number of seconds above 0"),
    "fabric_min_bandwidth": (_number(0), "a number of MB/s, 0 for none"),
    "fabric_max_latency": (_number(0), "a number of microseconds, 0 for none"),
    "fabric_shared_cores": (lambda value: isinstance(value, bool), "true or false"),
    "fabric_rack": (lambda value: isinstance(value, (str, int)), "a name"),
    "hostname_fabric_name": (_matches(f"|{_NAME}"), "a host name, or empty"),
    "hosts_file_address": (_address, "an IP address, or empty"),
    "interfaces_fabric": (_matches("|[A-Za-z0-9][A-Za-z0-9_.:-]{0,14}"), "the name of a network interface, or empty"),
    "interfaces_fabric_address": (_address, "an IP address, or empty"),
    "dataset_sets": (
        _sets,
        "sets of different names, each with dest below a directory, a digest, nodes if partitioned",
    ),
    "dataset_budget": (_number(0, above=True), "a number of seconds above 0"),
    "dataset_sample": (_number(0), "a number of files"),
    "nfs_mounts": (_mounts, "different absolute paths without blanks, with scratch below them"),
    "nfs_deadline": (_number(0, above=True), "a number of seconds above 0"),
    "nfs_within": (_number(0, above=True), "a number of seconds above 0"),
    "nfs_max_used": (_number(0, above=True), "a number of per cent above 0"),
    "openmpi_prefix": (_matches("/.*"), "an absolute path"),
    "openmpi_cuda_home": (_matches("/.*"), "an absolute path"),
    "openmpi_source_sha256": (_matches("|[0-9A-Fa-f]{64}"), "a SHA-256 in 64 hexadecimal digits, or empty"),
    "openmpi_ucx_source_sha256": (_matches("|[0-9A-Fa-f]{64}"), "a SHA-256 in 64 hexadecimal digits, or empty"),
    "openmpi_archive_sha256": (_matches("|[0-9A-Fa-f]{64}"), "a SHA-256 in 64 hexadecimal digits, or empty"),
    "openmpi_build_jobs": (_number(0), "0 or more processes"),
    "openmpi_build_timeout": (_number(0, above=True), "a number of seconds above 0"),
    "ssh_mesh_user": (_matches(r"|[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?"), "a user name, or empty"),
    "ssh_mesh_key_name": (_matches("[A-Za-z0-9_.][A-Za-z0-9_.-]*"), "the name of a file, without a folder"),
    "ssh_mesh_max_startups": (_matches("[0-9]+:[0-9]+:[0-9]+"), "start:rate:full, as sshd takes it"),
}


def broken(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (variable, sentence) of the first value that cannot be meant; None where all can."""
    for name, (fits, words) in RULES.items():
        if name in values and not fits(values[name]):
            return name, f"{name} is {values[name]!r}, but has to be {words}"
    return None
