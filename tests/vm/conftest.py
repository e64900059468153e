"""One bed for all tests of this directory: it takes a minute to boot, and each test leaves it as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab.sweep import sweep
from tests.vm import bed as beds
from tests.vm import image


@dataclass
class Said:
    """What a run of ddlcheck left: its exit status, its report, what it printed, the seconds it took."""

    status: int
    report: dict[str, Any]
    text: str

    def verdicts(self, promise: str, node: str) -> list[dict[str, Any]]:
        return [v for v in self.report["verdicts"] if v["promise"] == promise and node in v["nodes"]]

    def worst(self, promise: str, node: str) -> dict[str, Any]:
        order = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")
        return min(self.verdicts(promise, node), key=lambda verdict: order.index(verdict["status"]))


Ddlcheck = Callable[..., Said]


@pytest.fixture(scope="session")
def bed() -> Iterator[beds.Bed]:
    """Two virtual machines that are up; ``DDLCHECK_VM_BED`` names a bed that stands already."""
    standing = os.environ.get("DDLCHECK_VM_BED")
    if standing:
        bed = beds.Bed.load(standing)
        yield bed
        bed.off()
        return
    name = f"v{os.getpid() % 10**7}"
    try:
        beds.sweep_dead()
        bed = beds.make(name, 2, image.ensure())
        yield bed
        bed.off()
    except DdlcheckError as failed:
        pytest.fail(str(failed))
    finally:
        sweep(name)


@pytest.fixture(scope="session")
def ddlcheck(bed: beds.Bed, tmp_path_factory: pytest.TempPathFactory) -> Ddlcheck:
    """Return a function that runs ddlcheck on the bed as its user does, and reads its report."""
    folder = tmp_path_factory.mktemp("reports")

    def run(*words: str, inventory: Path = bed.inventory, timeout: float = 900) -> Said:
        report = folder / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "ddlcheck", words[0], str(inventory), *words[1:], "--json", str(report)],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert report.exists(), said
        return Said(done.returncode, json.loads(report.read_text()), said)

    return run
