"""One check of NHC as declared values of ours: ``{variable: value}``, and what of it got lost."""

from __future__ import annotations

import getopt
import re
from typing import TYPE_CHECKING, Any

from ddlcheck.nhc.lines import Unturned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: (values, what was left out of them)
    Turned = tuple[dict[str, Any], list[str]]

_UNITS = {"": 1, "k": 1, "m": 1024, "g": 1024**2, "t": 1024**3, "p": 1024**4, "e": 1024**5}
_SCHEDULERS = {"slurm": "slurm", "pbs": "pbs", "lsf": "lsf"}


def turn(words: Sequence[str]) -> Turned:
    """Translate one check; raises `Unturned`."""
    name, args = words[0], list(words[1:])
    if name == "export" or re.fullmatch(r"[A-Z_]+=.*", name):
        return _setting(args[0] if name == "export" and args else name)
    if name.startswith("!"):
        raise Unturned("is a negated check")
    for prefix, function in _CHECKS.items():
        if name == prefix:
            try:
                return function(args)
            except getopt.GetoptError as exc:
                raise Unturned(f"{exc}: not an option of {name} that is known here") from exc
            except (IndexError, ValueError) as exc:
                raise Unturned(f"its arguments cannot be read ({exc})") from exc
    raise Unturned(_WHY.get(name, f"no promise is like {name}: keep it in NHC, or declare it in resources_commands"))


def _setting(text: str) -> Turned:
    name, _, value = text.partition("=")
    if name == "NHC_RM" and value.lower() in _SCHEDULERS:
        return {"health_gate_scheduler": _SCHEDULERS[value.lower()]}, []
    if name == "MARK_OFFLINE" and value in ("0", "1"):
        return {"health_gate_drain": value == "1"}, []
    if name == "TIMEOUT" and value.isdigit() and 0 < int(value) <= 55:  # noqa: PLR2004 - Slurm ends it after 60
        return {"health_gate_timeout": int(value)}, []
    raise Unturned(f"{name} is a setting of NHC itself")


def kib(text: str) -> int:
    """Return one of NHC's sizes (kB unless it says otherwise, powers of 1024) in KiB."""
    found = re.fullmatch(r"([0-9]+)([kmgtpe]?)b?", text.lower())
    if not found:
        raise ValueError(f"{text!r} is no size")
    return int(found[1]) * _UNITS[found[2]]


def _count(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)([kmgt]?)", text.lower())
    if not found:
        raise ValueError(f"{text!r} is no number")
    return int(found[1]) * int(1000 ** " kmgt".index(found[2] or " "))


def _share(text: str, of: Callable[[str], int] = kib) -> int | str:
    return f"{int(text[:-1])}%" if text.endswith("%") else of(text)


def _literal(pattern: str, what: str) -> str:
    """Return what a match string matches, if it is one word; raise for a pattern."""
    if re.search(r"[*?\[\]!]", pattern) or (pattern.startswith("/") and pattern.endswith("/") and len(pattern) > 1):
        raise Unturned(f"its {what} is a pattern: declare the word itself")
    return pattern


def _mount(args: list[str], always: Sequence[str] = ()) -> Turned:
    lost: list[str] = []
    if args and args[0].startswith("/"):
        path, source, kind, option = (args + [""] * 4)[:4]
        given = [("-f", path), ("-s", source), ("-t", kind), ("-o", option)]
        rest: list[str] = []
    else:
        given, rest = getopt.getopt(args, "0rE:F:O:e:f:o:s:t:")
    record: dict[str, Any] = {"mounted": True}
    options = list(always)
    for name, value in given:
        if name == "-0":
            raise Unturned("it never fails (-0)")
        if name in ("-s", "-t") and value:
            record["source" if name == "-s" else "type"] = _literal(value, "source" if name == "-s" else "type")
        elif name == "-o" and value:
            options += _option(value)
        elif name in ("-r", "-O", "-e", "-E"):
            lost.append(f"{name}: a check changes nothing on a node")
    paths = [value for name, value in given if name in ("-f", "-F")] + rest
    if not paths:
        raise Unturned("it names no mount point")
    record.update({"options": options} if options else {})
    return {"resources_filesystems": [{"path": path, **record} for path in paths]}, lost


def _option(pattern: str) -> list[str]:
    r"""Return the mount option of a match string; ``/(^|,)vers=3(,|$)/`` is NHC's usual way to name one."""
    found = re.fullmatch(r"/\(\^\|,\)([\w=.:-]+)\(,\|\$\)/|\*?,?([\w=.:-]+),?\*?", pattern)
    if not found:
        raise Unturned("its options are a pattern: declare the options themselves")
    return [found[1] or found[2]]


def _filesystem(field: str, of: Callable[[str], int] = kib) -> Callable[[list[str]], Turned]:
    def turned(args: list[str]) -> Turned:
        path, amount, *more = args
        if more:
            raise ValueError("more than a path and an amount")
        return {"resources_filesystems": [{"path": path, field: _share(amount, of)}]}, []

    return turned


def _size(args: list[str]) -> Turned:
    path, least, *most = args
    record: dict[str, Any] = {"path": path, "size_min": kib(least)} if least else {"path": path}
    record.update({"size_max": kib(most[0])} if most else {})
    return {"resources_filesystems": [record]}, []


def _cpuinfo(args: list[str]) -> Turned:
    names = ("resources_sockets", "resources_cores", "resources_threads")
    return {name: int(word) for name, word in zip(names, args, strict=False) if word}, []


def _bounds(what: str) -> Callable[[list[str]], Turned]:
    def turned(args: list[str]) -> Turned:
        least, most, fudge = (args + [""] * 3)[:3]
        # The fudge widens both bounds: a share is one of what the node has, so the bounds are divided by it.
        low, high = (kib(word) if word else 0 for word in (least, most))
        if fudge.endswith("%"):
            share = int(fudge[:-1]) / 100
            low, high = int(low / (1 + share)), int(high / (1 - share)) + 1 if high else 0
        elif fudge:
            low, high = max(0, low - kib(fudge)), high + kib(fudge) if high else 0
        found = {f"resources_{what}_min": low, f"resources_{what}_max": high}
        lost = [f"a largest {what} of 0 cannot be declared"] if most and not high else []
        return {name: value for name, value in found.items() if value}, lost

    return turned


def _least(variable: str) -> Callable[[list[str]], Turned]:
    def turned(args: list[str]) -> Turned:
        return {variable: kib(args[0])}, []

    return turned


def _ib(args: list[str]) -> Turned:
    if len(args) < 2:  # noqa: PLR2004 - rate and device
        raise Unturned("it takes any device: name one (check_hw_ib RATE DEVICE)")
    rate, device = str(int(args[0])), args[1].partition(":")[0]
    port = args[1].partition(":")[2] or "1"
    base = f"/sys/class/infiniband/{device}/ports/{port}"
    wanted = {"rate": [f"{rate} Gb/sec"], "state": ["ACTIVE"], "phys_state": ["LinkUp"]}
    return {"resources_commands": [{"run": ["cat", f"{base}/{n}"], "output": out} for n, out in wanted.items()]}, []


def _service(args: list[str]) -> Turned:
    given, rest = getopt.getopt(args, "0E:SVcd:e:fkm:rsu:v")
    flags = dict(given)
    if "-0" in flags or "-E" in flags or "-k" in flags:
        raise Unturned("it never fails (-0), or wants the service not to run (-E, -k)")
    if len(rest) != 1:
        raise Unturned("it names no single service")
    lost = [f"{f}: a check starts and stops nothing" for f in ("-S", "-c", "-e", "-r", "-s") if f in flags]
    lost += [
        f"{f} {flags[f]}: the service's own control group tells its process" for f in ("-d", "-m", "-u") if f in flags
    ]
    return {"resources_services": rest}, lost


def _daemon(args: list[str]) -> Turned:
    lost = [f"taken to be the service {args[0]}"] + [f"user {name}" for name in args[1:]]
    return {"resources_services": [args[0]]}, lost


_KINDS = {"-f": "file", "-d": "directory", "-b": "block", "-c": "character", "-p": "fifo", "-S": "socket", "-e": ""}


def _file_test(args: list[str]) -> Turned:
    flags, paths = [a for a in args if a.startswith("-")], [a for a in args if not a.startswith("-")]
    if "-!" in flags:
        raise Unturned("is a negated test")
    if not paths or not flags:
        raise Unturned("it names no file, or no test")
    record: dict[str, Any] = {}
    lost = []
    for flag in flags:
        if flag in _KINDS:
            record.update({"kind": _KINDS[flag]} if _KINDS[flag] else {})
        elif flag == "-s":
            record["size_min"] = 1
        else:
            rights = flag in ("-r", "-w", "-x")
            lost.append(f"{flag}: {'root may always' if rights else 'cannot be declared'}; declare mode, uid and gid")
    return {"resources_files": [{"path": path, **record} for path in paths]}, lost


def _file_stat(args: list[str]) -> Turned:
    given, paths = getopt.getopt(args, "D:G:M:N:O:T:U:d:g:m:n:o:t:u:")
    fields = {"-m": "mode", "-u": "uid", "-g": "gid"}
    record = {fields[name]: value for name, value in given if name in fields}
    lost = [f"{name} {value}" for name, value in given if name not in fields]
    if "mode" in record and not re.fullmatch("[0-7]{3,4}", record["mode"]):
        raise Unturned("its mode is a pattern")
    if not record or not paths:
        raise Unturned("nothing of it can be declared: mode, uid and gid can")
    return {"resources_files": [{"path": path, **record} for path in paths]}, lost


#: Keeps the command's own exit status, and looks for a regular expression in what it prints.
_GREP = 're=$1; shift; out=$("$@") || exit; printf "%s\\n" "$out" | grep -Eq -e "$re"'


def _output(args: list[str]) -> Turned:
    given, command = getopt.getopt(args, "C:M:O:e:m:r:t:")
    flags = dict(given)
    command = flags["-e"].split() if "-e" in flags else command
    if not command:
        raise Unturned("it names no command")
    status = int(flags.get("-r", 0))
    wanted = [value for name, value in given if name == "-m"]
    if any(pattern.startswith("!") for pattern in wanted) or (wanted and status):
        raise Unturned("it wants something not to be said, or said by a command that fails")
    out: list[dict[str, Any]] = [
        {"run": ["sh", "-c", _GREP, "sh", expression(pattern), *command]} for pattern in wanted
    ] or [{"run": command, **({"status": status} if status else {})}]  # fmt: skip
    return {"resources_commands": out}, [f"-t {flags['-t']}: 10 s are what a command has"] if "-t" in flags else []


def _status(args: list[str]) -> Turned:
    given, command = getopt.getopt(args, "C:r:t:")
    flags = dict(given)
    if not command:
        raise Unturned("it names no command")
    return {"resources_commands": [{"run": command, "status": int(flags.get("-r", 0))}]}, []


def expression(pattern: str) -> str:
    """Return a match string as an extended regular expression for a whole line."""
    if pattern.startswith("/") and pattern.endswith("/") and len(pattern) > 1:
        return pattern[1:-1]
    if re.search(r"[\[\]]", pattern) or pattern.startswith(("{", "@")):
        raise Unturned("its match string is of a form that is not known here")
    parts = {"*": ".*", "?": "."}
    return "^" + "".join(parts.get(char, re.escape(char)) for char in pattern) + "$"


def _contents(args: list[str]) -> Turned:
    path, *patterns = args
    if not patterns or any(pattern.startswith("!") for pattern in patterns):
        raise Unturned("it wants something not to be there, or nothing")
    run = [["grep", "-Eq", "-e", expression(pattern), "--", path] for pattern in patterns]
    return {"resources_commands": [{"run": words} for words in run]}, []


_CHECKS: Mapping[str, Callable[[list[str]], Turned]] = {
    "check_fs_mount": _mount,
    "check_fs_mount_rw": lambda args: _mount(args, ("rw",)),
    "check_fs_mount_ro": lambda args: _mount(args, ("ro",)),
    "check_fs_size": _size, "check_fs_free": _filesystem("free_min"), "check_fs_used": _filesystem("used_max"),
    "check_fs_ifree": _filesystem("inodes_free_min", _count),
    "check_hw_cpuinfo": _cpuinfo, "check_hw_physmem": _bounds("memory"), "check_hw_swap": _bounds("swap"),
    "check_hw_physmem_free": _least("resources_memory_free_min"),
    "check_hw_swap_free": _least("resources_swap_free_min"),
    "check_hw_ib": _ib, "check_hw_eth": lambda args: ({"resources_interfaces": [args[0]]}, []),
    "check_ps_service": _service, "check_ps_daemon": _daemon,
    "check_file_test": _file_test, "check_file_stat": _file_stat, "check_file_contents": _contents,
    "check_cmd_output": _output, "check_cmd_status": _status,
}  # fmt: skip

_WHY = {
    "check_hw_mem": "declare memory and swap apart: check_hw_physmem, check_hw_swap",
    "check_hw_mem_free": "declare memory and swap apart: check_hw_physmem_free, check_hw_swap_free",
    "check_nvsmi_healthmon": "GPUs are not judged by one exit status: declare what is expected of them",
    "check_nv_healthmon": "nvidia-healthmon is gone from the driver's tools",
}
