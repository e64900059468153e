"""The files that carry the gate's verdict to PBS, LSF, Kubernetes, systemd and NHC; thin, over one exit status."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GATE = "/usr/local/sbin/ddlcheck-node"
_HOOKS = pathlib.Path(__file__).parent / "hooks"


class File(NamedTuple):
    """A file of an adapter: where it belongs, what it holds, and its mode."""

    path: str
    text: str
    mode: str = "0644"


class Adapter(NamedTuple):
    """What one scheduler needs: files, and what an operator does with them."""

    files: tuple[File, ...]
    steps: tuple[str, ...]


def _filled(name: str, values: Mapping[str, Any]) -> str:
    """Return a hook with its settings; all of them are numbers or words of ours."""
    timeout = int(values["health_gate_timeout"])
    text = (_HOOKS / name).read_text(encoding="utf-8")
    for mark, word in {
        "GATE": GATE, "TIMEOUT": timeout, "DEADLINE": timeout + 5, "MAX_AGE": int(values["health_gate_max_age"]),
        "DRAIN": "yes" if values["health_gate_drain"] else "no",
    }.items():  # fmt: skip
        text = text.replace(f"@{mark}@", str(word))
    return text


def pbs(values: Mapping[str, Any]) -> Adapter:
    """Return the hook for OpenPBS and its settings; both are imported at the server."""
    settings = {
        "gate": [GATE],
        "timeout": int(values["health_gate_timeout"]),
        "drain": bool(values["health_gate_drain"]),
    }
    folder = "/usr/local/lib/ddlcheck/pbs"
    return Adapter(
        (File(f"{folder}/ddlcheck.py", _filled("pbs.py", values)),
         File(f"{folder}/ddlcheck.json", json.dumps(settings, indent=1) + "\n")),
        ('qmgr -c "create hook ddlcheck"',
         "qmgr -c \"set hook ddlcheck event = 'execjob_begin,exechost_periodic'\"",
         f'qmgr -c "set hook ddlcheck freq = {max(int(values["health_gate_interval"]), 30)}"',
         f'qmgr -c "set hook ddlcheck alarm = {int(values["health_gate_timeout"]) + 20}"',
         "qmgr -c \"set hook ddlcheck fail_action = 'offline_vnodes'\"",
         f'qmgr -c "import hook ddlcheck application/x-python default {folder}/ddlcheck.py"',
         f'qmgr -c "import hook ddlcheck application/x-config default {folder}/ddlcheck.json"'),
    )  # fmt: skip


def lsf(values: Mapping[str, Any]) -> Adapter:
    """Return the program for a queue's HOST_PRE_EXEC."""
    path = "/usr/local/sbin/ddlcheck-lsf"
    return Adapter(
        (File(path, _filled("lsf.sh", values), "0755"),), (f"lsb.queues: HOST_PRE_EXEC = {path}", "badmin reconfig")
    )


def kubernetes(values: Mapping[str, Any]) -> Adapter:
    """Return a custom plug-in of node-problem-detector, and a pod whose init container asks for the last verdict."""
    timeout = int(values["health_gate_timeout"])
    monitor = {
        "plugin": "custom",
        "pluginConfig": {
            "invoke_interval": f"{int(values['health_gate_interval'])}s", "timeout": f"{timeout + 6}s",
            "max_output_length": 80, "concurrency": 1, "enable_message_change_based_condition_update": True,
        },
        "source": "ddlcheck",
        "metricsReporting": True,
        "conditions": [{"type": "DdlcheckProblem", "reason": "DdlcheckReady", "message": "every promise is kept"}],
        "rules": [{
            "type": "permanent", "condition": "DdlcheckProblem", "reason": "DdlcheckNotReady",
            "path": "/config/plugin/ddlcheck.sh", "timeout": f"{timeout + 6}s",
        }],
    }  # fmt: skip
    return Adapter(
        (File("/config/plugin/ddlcheck.sh", _filled("npd.sh", values), "0755"),
         File("/config/ddlcheck-monitor.json", json.dumps(monitor, indent=2) + "\n"),
         File("ddlcheck-init-container.yml", _filled("init-container.yml", values))),
        ("node-problem-detector --config.custom-plugin-monitor=/config/ddlcheck-monitor.json",
         "it has to see the node's files: run it on the node, or mount /usr/local, /etc/ddlcheck and /run/ddlcheck",
         "taint nodes by the condition DdlcheckProblem with the controller your cluster has for that"),
    )  # fmt: skip


def nhc(values: Mapping[str, Any]) -> Adapter:
    """Return a plug-in for LBNL NHC that calls the gate."""
    return Adapter(
        (File("/etc/nhc/scripts/ddlcheck.nhc", _filled("nhc.nhc", values)),), ("nhc.conf: * || check_ddlcheck",)
    )


def systemd(values: Mapping[str, Any]) -> Adapter:
    """Return the service and the timer of the background tier, which the role installs, too."""
    import jinja2  # noqa: PLC0415 - it comes with Ansible

    from ddlcheck import declared  # noqa: PLC0415

    templates = declared.tree() / "roles" / "health_gate" / "templates"
    names = ("ddlcheck.service", "ddlcheck.timer")
    render = jinja2.Environment(keep_trailing_newline=True, autoescape=False, undefined=jinja2.StrictUndefined)  # noqa: S701 - no HTML
    found = {**values, "_health_gate_launcher": GATE}
    texts = {
        name: render.from_string((templates / f"{name}.j2").read_text(encoding="utf-8")).render(found) for name in names
    }
    return Adapter(
        tuple(File(f"/etc/systemd/system/{name}", text) for name, text in texts.items()),
        ("systemctl daemon-reload", "systemctl enable --now ddlcheck.timer"),
    )


ADAPTERS: Mapping[str, Callable[[Mapping[str, Any]], Adapter]] = {
    "kubernetes": kubernetes, "lsf": lsf, "nhc": nhc, "pbs": pbs, "systemd": systemd,
}  # fmt: skip
