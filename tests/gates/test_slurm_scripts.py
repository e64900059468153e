"""The scripts that Slurm calls, with programs of paper around them: whatever is no word of the gate's is a no."""

from __future__ import annotations

import os.path
import shlex
import subprocess
from pathlib import Path

import jinja2
import pytest
from ansible.plugins.filter.core import to_bool

TEMPLATES = Path(__file__).parents[2] / "roles/health_gate/templates"


class Scripts:
    """One of the scripts, as role health_gate writes it, and what it did to Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_folder = folder / "run"
        self.did = folder / "did"
        for name, text in {
            "logger": "exit 0",
            "sinfo": "cat " + str(folder / "reason"),
            "scontrol": f'echo "$@" >> {self.did}',
        }.items():
            self.program(name, text)
        self.reason("none")

    def program(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def reason(self, text: str) -> None:
        (self.folder / "reason").write_text(f"{text}\n")

    def run(self, kind: str, *, drain: bool | str = True) -> int:
        env = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)  # noqa: S701
        env.filters.update(quote=shlex.quote, dirname=os.path.dirname, bool=to_bool)
        template = "healthcheck" if kind == "health" else "prolog"
        text = env.from_string((TEMPLATES / f"slurm_{template}.sh.j2").read_text()).render(
            _health_gate_slurm_path=f"{self.folder}:/usr/bin:/bin", _health_gate_slurm_node="ib2",
            _health_gate_launcher=str(self.folder / "gate"), _health_gate_status=str(self.run_folder / "status.json"),
            health_gate_breaker_share=0.2, health_gate_breaker_window=600, health_gate_max_age=900,
            health_gate_drain=drain, item={"name": kind},
        )  # fmt: skip
        script = self.folder / "script"
        script.write_text(text)
        done = subprocess.run(["sh", str(script)], env={}, capture_output=True, check=False, timeout=120)
        return done.returncode

    def changes(self) -> str:
        return self.did.read_text() if self.did.exists() else ""


@pytest.fixture
def scripts(tmp_path):
    return Scripts(tmp_path)


@pytest.mark.parametrize("kind", ["health", "prolog", "epilog"])
@pytest.mark.parametrize("status", [0, 1])
def test_the_gate_s_own_word_is_passed_on(scripts, kind, status):
    scripts.program(
        "gate", f'[ "$1 $2 $3 $4" = "slurm {kind} --node ib2" ] && echo "ddlcheck slurm {kind} {status}"; exit {status}'
    )
    assert scripts.run(kind) == status
    assert scripts.changes() == ""


@pytest.mark.parametrize("says", ["exit 0", "exit 1", "echo Traceback; exit 1", "echo 'ddlcheck slurm {other} 0'", "kill -9 $$",
                                  "echo 'ddlcheck slurm {kind} 0'; exit 1", "echo 'ddlcheck slurm {kind} 0'; echo oh"])  # fmt: skip
@pytest.mark.parametrize("kind", ["health", "prolog", "epilog"])
def test_anything_else_is_a_no(scripts, kind, says):
    other = "prolog" if kind == "health" else "health"
    scripts.program("gate", says.format(kind=kind, other=other))
    assert scripts.run(kind) == 1
    if kind == "health":
        assert (
            "NodeName=ib2 State=DRAIN Reason=ddlcheck: health_gate: the gate on the node does not run"
            in scripts.changes()
        )
    else:
        assert scripts.changes() == ""
        assert f'"by": "{kind}"' in (scripts.run_folder / "refused.json").read_text()


def test_a_gate_that_is_not_there_is_a_no(scripts):
    assert scripts.run("prolog") == 1
    assert scripts.run("health") == 1
    assert "status 127" in scripts.changes()


@pytest.mark.parametrize(("reason", "touched"), [
    ("none", True), ("bad DIMM", False), ("ddlcheck: memlock: 64 KiB", False), ("Prolog error", False), ("", False),
])  # fmt: skip
def test_without_a_gate_only_a_node_without_a_reason_is_drained(scripts, reason, touched):
    scripts.reason(reason)
    assert scripts.run("health") == 1
    assert bool(scripts.changes()) is touched


def test_without_a_gate_the_drain_for_our_own_prolog_becomes_ours(scripts):
    scripts.run("prolog")
    scripts.reason("Prolog error")
    scripts.run("health")
    assert "Reason=ddlcheck: health_gate" in scripts.changes()


def test_what_an_earlier_run_kept_is_forgotten_without_a_gate(scripts):
    """It could say that nothing is out, and then nobody would bring the node back."""
    scripts.run_folder.mkdir()
    (scripts.run_folder / "slurm.json").write_text("{}")
    scripts.run("health")
    assert not (scripts.run_folder / "slurm.json").exists()


@pytest.mark.parametrize("drain", [False, "false"])
def test_where_nothing_may_be_drained_nothing_is(scripts, drain):
    """Also where it is a word, as `-e health_gate_drain=false` gives it."""
    assert scripts.run("health", drain=drain) == 1
    assert scripts.run("prolog", drain=drain) == 0
    assert scripts.changes() == ""
