"""slurm.conf as the gate needs it: the lines, and what a running Slurm lacks of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where role health_gate puts the three scripts.
SCRIPTS = "/usr/local/lib/ddlcheck/slurm"
#: scontrol's word for what is not set.
_NONE = ("", "(null)", "None", "NONE")


def advise(config: Mapping[str, str], *, scripts: str = SCRIPTS, max_age: float = 600.0) -> list[str]:
    """Return, in one sentence each, what of a configuration in force keeps the gate from working as it should."""
    return [*_hooks(config, scripts), *_health(config, max_age), *_jobs(config)]


def _hooks(config: Mapping[str, str], scripts: str) -> list[str]:
    out = []
    for key, file, what in (
        ("HealthCheckProgram", "healthcheck", "no node is drained, and none comes back"),
        ("Prolog", "prolog", "a job starts on a node that went bad since the last health check"),
        ("Epilog", "epilog", "what a job broke is noticed by the next job"),
    ):
        value = config.get(key, "")
        # Slurm may show several scripts, and a pattern may lead to ours.
        if value in _NONE:
            out.append(f"{key} is not set: {what} ({key}={scripts}/{file})")
        elif f"{scripts}/{file}" not in value:
            out.append(f"{key} is {value}: have it call {scripts}/{file}, and end with its status, or {what}")
    return out


def _health(config: Mapping[str, str], max_age: float) -> list[str]:
    if config.get("HealthCheckProgram", "") in _NONE:
        return []
    out = []
    seconds = _number(config.get("HealthCheckInterval", ""))
    if not seconds:
        out.append("HealthCheckInterval is 0: the health check runs when slurmd starts and never again")
    elif seconds * 2 > max_age:
        out.append(
            f"HealthCheckInterval is {seconds:g} s: a result lives {max_age:g} s (health_gate_max_age), "
            "which has to be twice as long at least"
        )
    states = {word.upper() for word in config.get("HealthCheckNodeState", "ANY").replace(",", " ").split()}
    if not states & {"ANY"}:
        out.append(
            f"HealthCheckNodeState is {','.join(sorted(states))}: "
            "a node in another state is neither drained nor resumed"
        )
    return out


def _jobs(config: Mapping[str, str]) -> list[str]:
    out = []
    scheduler = config.get("SchedulerParameters", "")
    flags = {word.strip().lower() for word in config.get("PrologFlags", "").split(",")}
    if "nohold_on_prolog_fail" not in scheduler:
        out.append(
            "SchedulerParameters lacks nohold_on_prolog_fail: a job whose prolog refuses a node is held "
            "until somebody releases it, instead of starting on another one"
        )
    if not flags & {"alloc", "contain", "runinjob", "x11"}:
        out.append("PrologFlags lacks Alloc: the prolog runs with the first step, after the batch script has begun")
    if propagates(config):
        out.append(
            f"{propagation(config)}: a low memlock limit of the shell that "
            "submits goes along into every step (PropagateResourceLimitsExcept=MEMLOCK)"
        )
    return out


def propagates(config: Mapping[str, str]) -> bool:
    """Whether the submitting shell's locked-memory limit is that of the steps."""
    words = {word.strip().upper() for word in config.get("PropagateResourceLimits", "").split(",")}
    spared = {word.strip().upper() for word in config.get("PropagateResourceLimitsExcept", "").split(",")}
    if spared - {word.upper() for word in _NONE}:
        return not spared & {"MEMLOCK", "ALL"}
    return bool(words & {"ALL", "MEMLOCK"})


def propagation(config: Mapping[str, str]) -> str:
    """Return the parameter that has limits go along, as slurm.conf has it."""
    spared = config.get("PropagateResourceLimitsExcept", "")
    if spared not in _NONE:
        return f"PropagateResourceLimitsExcept={spared}"
    return f"PropagateResourceLimits={config.get('PropagateResourceLimits', 'ALL')}"


def _number(text: str) -> float:
    digits = text.split(" ", maxsplit=1)[0]
    return float(digits) if digits.isdigit() else 0.0
