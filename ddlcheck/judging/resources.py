"""What a node has against what was declared of it: each returns troubles, a phrase each, and fills evidence."""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.wants import Answer

    Troubles = list[str]

#: Where /proc/meminfo says it. Free is what can be had without swapping, caches included.
_LINES = {"memory": "MemTotal", "memory_free": "MemAvailable", "swap": "SwapTotal", "swap_free": "SwapFree"}
_RUNNING = ("up", "unknown")  # a driver that does not say is up: loopback, some tunnels


def processors(data: Any, declared: Mapping[str, Any], evidence: dict[str, Any]) -> Troubles:  # noqa: ANN401
    """Compare counts of sockets, cores and threads that are online."""
    out = []
    for name in ("sockets", "cores", "threads"):
        has = _number(data, name)
        evidence[name] = has
        if name in declared and has != int(declared[name]):
            out.append(f"{has} {name} are online, declared are {declared[name]}")
    return out


def memory(text: str, declared: Mapping[str, Any], evidence: dict[str, Any]) -> Troubles:
    """Compare /proc/meminfo with the declared bounds, in KiB."""
    words = {line.partition(":")[0]: line.split()[1:2] for line in text.splitlines()}
    out = []
    for name, line in _LINES.items():
        least, most = declared.get(f"{name}_min", 0), declared.get(f"{name}_max", 0)
        if not (least or most):
            continue
        word = "".join(words.get(line, []))
        if not (word.isascii() and word.isdigit() and len(word) < 16):  # noqa: PLR2004 - more than any machine has
            raise NotSeen(f"/proc/meminfo says nothing of {line}")
        evidence[f"{name}_kib"] = has = int(word)
        if least and has < float(least):
            out.append(f"{line} is {has} KiB, less than the declared {least}")
        if most and has > float(most):
            out.append(f"{line} is {has} KiB, more than the declared {most}")
    return out


def filesystems(data: Any, declared: Sequence[Mapping[str, Any]], evidence: dict[str, Any]) -> Troubles:  # noqa: ANN401
    """Compare mounts and their space with what is declared of each."""
    out = []
    for entry in declared:
        record = _record(data, entry["path"])
        if record.get("why") == "hung":
            out.append(f"{entry['path']} hangs: {record.get('err')}")
        elif record.get("why") == "missing":
            out.append(f"there is no {entry['path']}")
        elif record.get("why"):
            raise NotSeen(f"{entry['path']}: {record['why']}: {record.get('err')}")
        else:
            evidence[entry["path"]] = {
                name: record.get(name) for name in ("type", "source", "free", "size", "files_free")
            }
            out += _mounted(entry, record) or _room(entry, record)
    return out


def _mounted(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Troubles:
    """Whether what is declared is mounted at the path itself: a directory below another mount is none."""
    path = entry["path"]
    if not {"type", "source", "options"} & set(entry) and not entry.get("mounted"):
        return []
    if record.get("at") != (path.rstrip("/") or "/"):
        return [f"nothing is mounted at {path}"]
    out = [
        f"{path} has {name} {record.get(name)}, declared is {entry[name]}"
        for name in ("type", "source") if entry.get(name) and record.get(name) != str(entry[name])
    ]  # fmt: skip
    has = str(record.get("options", "")).split(",")
    missing = [option for option in entry.get("options", ()) if option not in has]
    return out + ([f"{path} is mounted without {','.join(missing)}"] if missing else [])


#: Field of a declaration: (what is measured, of what it may be a share, whether it is a least).
_ROOM = {"size_min": ("size", "size", True), "size_max": ("size", "size", False), "free_min": ("free", "size", True),
         "used_max": ("used", "size", False), "inodes_free_min": ("files_free", "files", True)}  # fmt: skip


def _room(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Troubles:
    out = []
    for field, (name, whole, least) in _ROOM.items():
        if field not in entry:
            continue
        has, limit = _number(record, name), _limit(entry[field], _number(record, whole))
        if has < limit if least else has > limit:
            unit = "" if name == "files_free" else " KiB"
            out.append(
                f"{entry['path']}: {name.replace('files_', 'inodes ')} {has}{unit}, declared {field} is {entry[field]}"
            )
    return out


def _limit(value: Any, whole: int) -> float:  # noqa: ANN401 - a number, or a share of the whole as "5%"
    text = str(value)
    return float(text[:-1]) / 100 * whole if text.endswith("%") else float(text)


def interfaces(data: Any, declared: Sequence[str], evidence: dict[str, Any]) -> Troubles:  # noqa: ANN401
    """Say which interfaces are not there or not up."""
    if not isinstance(data, dict):
        raise NotSeen("the interfaces' states have an unknown form")
    states = {name: str(data.get(f"/sys/class/net/{name}/operstate", "missing")).strip()[:20] for name in declared}
    evidence["interfaces"] = states
    return [
        f"there is no interface {name}" if state == "missing" else f"{name} is {state}"
        for name, state in states.items() if state not in _RUNNING
    ]  # fmt: skip


def unit(name: str) -> str:
    """Return a service's unit."""
    return name if name.endswith((".service", ".socket")) else f"{name}.service"


def services(data: Any, declared: Sequence[str], evidence: dict[str, Any]) -> Troubles:  # noqa: ANN401
    """Say which services have no process."""
    if not isinstance(data, dict):
        raise NotSeen("the services have an unknown form")
    evidence["services"] = {name: str(comm).strip()[:32] for name, comm in data.items()}
    return [f"no process of {unit(name)} runs" for name in declared if unit(name) not in data]


def files(data: Any, declared: Sequence[Mapping[str, Any]], evidence: dict[str, Any]) -> Troubles:  # noqa: ANN401
    """Compare what paths are with what they were declared to be."""
    out = []
    for entry in declared:
        path, record = entry["path"], _record(data, entry["path"])
        why = record.get("why", "")
        if why == "missing":
            out += [] if entry.get("kind") == "absent" else [f"there is no {path}"]
            continue
        if why == "hung":
            out.append(f"{path} hangs: {record.get('err')}")
            continue
        if why:
            raise NotSeen(f"{path}: {why}: {record.get('err')}")
        evidence[path] = {name: record.get(name) for name in ("kind", "mode", "uid", "gid", "size")}
        out += [
            f"{path} has {name} {record.get(name)}, declared is {entry[name]}"
            for name in ("kind", "mode", "uid", "gid")
            if name in entry and not _same(record.get(name), entry[name])
        ]
        if "size_min" in entry and _number(record, "size") < float(entry["size_min"]):
            out.append(f"{path} holds {record['size']} bytes, declared are at least {entry['size_min']}")
    return out


def _same(has: Any, wanted: Any) -> bool:  # noqa: ANN401 - JSON and YAML: a mode may be "0644" or "644"
    return str(has).lstrip("0") == str(wanted).lstrip("0")


def command(got: Answer, entry: Mapping[str, Any], evidence: dict[str, Any]) -> Troubles:
    """Compare a command's exit status and output; each declared phrase has to stand in its output."""
    name, status = " ".join(map(str, entry["run"]))[:80], int(entry.get("status", 0))
    text = got.need(rc=None)
    evidence[name] = {"status": got.rc, "output": text[:200]}
    if got.rc is None:
        raise NotSeen(f"{name}: no exit status")
    if got.rc != status:
        return [f"{name} ended with {got.rc}, declared is {status}: {(got.err or text).strip()[:100]}"]
    return [f"{name} does not say {phrase!r}" for phrase in entry.get("output", ()) if str(phrase) not in text]


def _record(data: Any, path: str) -> Mapping[str, Any]:  # noqa: ANN401
    if not isinstance(data, dict) or not isinstance(data.get(path), dict):
        raise NotSeen(f"nothing was said of {path}")
    record: Mapping[str, Any] = data[path]
    return record


def _number(data: Any, name: str) -> int:  # noqa: ANN401
    value = data.get(name) if isinstance(data, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotSeen(f"the node did not say a number of {name}")
    return value
