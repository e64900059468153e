"""Role and check gpfs against a stand-in for the mm commands: it starts, mounts, orders, waits, and hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ddlcheck.lab import Lab
from ddlcheck.lab.nodes import Node

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("mm.py")
BIN = "/usr/lpp/mmfs/bin"
COMMANDS = ("mmgetstate", "mmhealth", "mmlsmount", "mmfsadm", "mmlsconfig", "mmchconfig", "mmstartup", "mmmount")
DECLARED: dict[str, Any] = {
    "gpfs_file_systems": [{"name": "fs1", "path": "/gpfs/fs1"}], "gpfs_type": "tmpfs", "gpfs_rdma": "started",
    "gpfs_before": ["chrony"], "gpfs_deadline": 5, "gpfs_patience": 5,
}  # fmt: skip


class Scale:
    """One node with the stand-in, and what is declared of it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.node, self.folder = lab, lab.nodes[0], folder

    def set(self, **state: Any) -> None:
        self.node.run(["sh", "-c", f"cat > {BIN}/state.json"], input=json.dumps(state))

    def play(self, *words: str) -> tuple[str, dict[str, int]]:
        """Apply the role; return what failed, and how much was changed."""
        given = self.folder / "declared.json"
        given.write_text(json.dumps(DECLARED))
        argv = [
            str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.lab.inventory), "site.yml", "--tags",
            "gpfs", "--limit", self.node.name, "-e", f"@{given}", *words,
        ]  # fmt: skip
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        lines = [line for line in done.stdout.splitlines() if " changed=" in line and ":" in line]
        changed = {line.split()[0]: int(line.split("changed=")[1].split()[0]) for line in lines}
        return ("" if done.returncode == 0 else done.stdout), changed

    def judge(self) -> dict[str, Any]:
        report = self.folder / "report.json"
        words = [w for k, v in DECLARED.items() for w in ("-e", f"{k}={json.dumps(v)}")]
        subprocess.run(
            [sys.executable, "-m", "ddlcheck", "cluster", str(self.lab.inventory), "--only", "gpfs", "--limit",
             self.node.name, "--json", str(report), *words],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        (verdict,) = json.loads(report.read_text())["verdicts"]
        return dict(verdict)


def clean(node: Node) -> None:
    units = "/etc/systemd/system/ddl-gpfs.service /etc/systemd/system/chrony.service.d/95-ddl-gpfs.conf"
    node.run(["sh", "-c", f"umount /gpfs/fs1; rm -rf {BIN} /gpfs {units}; systemctl daemon-reload"])


@pytest.fixture
def scale(ready: Lab, tmp_path: Path) -> Iterator[Scale]:
    it = Scale(ready, tmp_path)
    clean(it.node)
    program = "#!/usr/bin/python3\n" + STAND_IN.read_text()
    it.node.run(["sh", "-c", f"mkdir -p {BIN}; cd {BIN}; cat > mm; chmod 755 mm; for c in {' '.join(COMMANDS)}; do cp mm $c; done"],
                input=program)  # fmt: skip
    try:
        yield it
    finally:
        clean(it.node)


@pytest.fixture
def play_and_judge(scale: Scale) -> Callable[..., tuple[str, dict[str, Any]]]:
    def both(**state: Any) -> tuple[str, dict[str, Any]]:
        scale.set(**state)
        return " ".join(scale.play()[0].split()), scale.judge()

    return both


def test_a_node_that_is_down_is_started_mounted_ordered_and_rests_then(scale: Scale) -> None:
    verdict = scale.judge()
    assert (verdict["status"], verdict["remedy"], verdict["evidence"]["state"]) == ("FAIL", "gpfs", "down")
    failed, changed = scale.play()
    assert failed == ""
    assert changed[scale.node.name] >= 4
    assert scale.judge()["status"] == "PASS"
    assert "ddl-gpfs.service" in scale.node.run(["systemctl", "show", "-p", "After", "chrony"]).stdout
    failed, changed = scale.play()
    assert (failed, changed) == ("", {scale.node.name: 0})


def test_what_is_mounted_by_half_is_said_by_both(play_and_judge: Any) -> None:
    failed, verdict = play_and_judge(state="active", half=True, mounted=["fs1"], autoload="yes")
    assert "fs1 is not mounted on minsky1 where it was declared" in failed
    assert "half mounted" in verdict["cause"]


def test_a_command_that_hangs_ends_in_time_and_changes_nothing(play_and_judge: Any) -> None:
    failed, verdict = play_and_judge(state="active", hang=["mmgetstate"])
    assert "did not answer within 5 s" in failed
    assert (verdict["status"], "mmgetstate is HUNG" in verdict["seen"]) == ("FAIL", True)


def test_a_node_without_a_quorum_is_waited_for_and_then_said(play_and_judge: Any) -> None:
    failed, verdict = play_and_judge(state="down", starts="arbitrating", autoload="yes")
    assert "it gets no quorum" in failed
    assert "quorum" in verdict["cause"]


def test_an_expelled_node_is_left_alone(play_and_judge: Any) -> None:
    failed, verdict = play_and_judge(state="unknown")
    assert "it was expelled" in failed
    assert "expelled" in verdict["cause"]
