"""The node has the processors, memory, file systems, interfaces, services and files that were declared.

Only what is declared is looked at: nothing is learned from the node that is judged. It asks the kernel itself, which
costs the node gate a millisecond or two; only declared commands wait for the background tier.
"""

from __future__ import annotations

from ddlcheck.judging import resources as found
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import proc, processors, read, read_all, run, space, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

NO_ROLE = "hardware, and what a site installs itself: inspect"
TIER = "gate"
#: Sizes in KiB; 0 and empty: not declared.
DEFAULTS: dict[str, Any] = {
    "resources_sockets": 0, "resources_cores": 0, "resources_threads": 0,
    "resources_memory_min": 0, "resources_memory_max": 0, "resources_memory_free_min": 0,
    "resources_swap_min": 0, "resources_swap_max": 0, "resources_swap_free_min": 0,
    "resources_filesystems": [], "resources_interfaces": [], "resources_services": [], "resources_files": [],
    "resources_commands": [],
}  # fmt: skip
_PROCESSORS = ("sockets", "cores", "threads")
_MEMORY = ("memory_min", "memory_max", "memory_free_min", "swap_min", "swap_max", "swap_free_min")


def wants(intent: Intent) -> Wants:
    """Ask for what is declared, and nothing else."""
    d = declared(intent)
    out: dict[str, Any] = {}
    if any(name in d for name in _PROCESSORS):
        out["processors"] = processors()
    if any(name in d for name in _MEMORY):
        out["memory"] = read("/proc/meminfo")
    if "filesystems" in d:
        out["filesystems"] = space(*(entry["path"] for entry in d["filesystems"]))
    if "interfaces" in d:
        out["interfaces"] = read_all(*(f"/sys/class/net/{name}/operstate" for name in d["interfaces"]))
    if "services" in d:
        out["services"] = proc([found.unit(name) for name in d["services"]], "comm")
    if "files" in d:
        out["files"] = stat(*(entry["path"] for entry in d["files"]))
    for number, entry in enumerate(d.get("commands", ())):
        out[f"command {number}"] = run(*map(str, entry["run"]))
    return out


def declared(intent: Intent) -> dict[str, Any]:
    """Return what is declared, by the variables' names without their beginning."""
    every = {name[len("resources_") :]: intent[name] for name in DEFAULTS}
    return {name: value for name, value in every.items() if value}


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Compare each kind of thing with what was declared; the first trouble gives the cause, all are said."""
    d = declared(intent)
    if not d:
        return Verdict(Status.SKIP, "nothing declared: every resources_* variable is 0 or empty")
    evidence: dict[str, Any] = {}
    troubles: list[str] = []
    if "processors" in seen:
        troubles += found.processors(seen["processors"].need_data(), d, evidence)
    if "memory" in seen:
        troubles += found.memory(seen["memory"].need(), d, evidence)
    if "filesystems" in d:
        troubles += found.filesystems(seen["filesystems"].need_data(), d["filesystems"], evidence)
    if "interfaces" in d:
        troubles += found.interfaces(seen["interfaces"].need_data(), d["interfaces"], evidence)
    if "services" in d:
        troubles += found.services(seen["services"].need_data(), d["services"], evidence)
    if "files" in d:
        troubles += found.files(seen["files"].need_data(), d["files"], evidence)
    for number, entry in enumerate(d.get("commands", ())):
        troubles += found.command(seen[f"command {number}"], entry, evidence)
    names = ", ".join(d)
    if not troubles:
        return Verdict(Status.PASS, f"as declared: {names}"[:300], promised=names, evidence=evidence, declared=d)
    return Verdict(
        Status.FAIL, "; ".join(troubles)[:400], promised=names, cause=troubles[0][:300], remedy="inspect",
        evidence={**evidence, "troubles": troubles[:50]}, declared=d,
    )  # fmt: skip
