"""`ddlcheck dataset verify --full` over a whole cluster: what differs is named, progress is shown, an interrupt ends it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddlcheck.lab import Lab
from tests.storage.program import Set, flip

pytestmark = pytest.mark.lab

TREE = Path(__file__).parents[2]
HOME = "srv/proven"


class Site:
    """Data sets on the nodes' own disks, and an inventory's word for them."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.sets: dict[str, dict[str, Any]] = {}
        self.names = [node.name for node in lab.nodes]

    def stage(self, name: str, *, files: int = 60, parted: bool = False) -> list[Set]:
        """Have a set on every node, or a part of it on each; return what each has."""
        out = []
        for index, node in enumerate(self.lab.nodes):
            it = Set(
                self.folder / name, files=files, name=name, index=index if parted else 0,
                count=self.lab.size if parted else 0, dest=str(node.root / HOME / name),
            )  # fmt: skip
            it.dest = Path(it.spec["dest"])
            it.dest.parent.mkdir(parents=True, exist_ok=True)
            (it.dest.parent / f".{name}@{it.digest[:16]}.manifest").write_text(it.text)
            it.result("stage")
            out.append(it)
        self.declare(name, out[0].digest, parted=parted)
        return out

    def declare(self, name: str, digest: str, *, parted: bool = False, method: str = "copy") -> None:
        """Write down what an inventory would say of a set."""
        entry = {"name": name, "dest": f"/{HOME}/{name}", "digest": digest, "method": method, "source": "/nowhere"}
        self.sets[name] = entry | ({"mode": "partitioned", "nodes": self.names} if parted else {})

    def argv(self, *more: str) -> list[str]:
        declared = json.dumps(list(self.sets.values()))
        return [
            sys.executable, "-m", "ddlcheck", "dataset", "verify", str(self.lab.inventory), "--full",
            "-e", f"dataset_sets={declared}", *more,
        ]  # fmt: skip

    def verify(self) -> tuple[int, list[dict[str, Any]], str]:
        """Return exit status, verdicts, and what was printed."""
        report = self.folder / "report.json"
        done = subprocess.run(
            self.argv("--json", str(report)), cwd=TREE, capture_output=True, text=True, timeout=300, check=False
        )
        assert report.exists(), done.stderr
        return done.returncode, json.loads(report.read_text())["verdicts"], done.stdout

    def running(self) -> list[str]:
        """Return what of ours runs on any node."""
        found = []
        for node in self.lab.nodes:
            lines = node.run(["ps", "-eo", "pid=,args="], timeout=60).stdout.splitlines()
            found += [f"{node.name}: {line[:80]}" for line in lines if "ddlcheck-agent" in line or "digest" in line]
        return found


@pytest.fixture
def site(ready: Lab, tmp_path: Path) -> Iterator[Site]:
    try:
        yield Site(ready, tmp_path)
    finally:
        for node in ready.nodes:
            shutil.rmtree(node.root / HOME, ignore_errors=True)


def of(verdicts: list[dict[str, Any]], node: str) -> dict[str, Any]:
    """Return the verdict on one node alone."""
    (found,) = [
        v for v in verdicts if v["nodes"] == [node] and not v["seen"].startswith(("parted: the", "spoilt: the"))
    ]
    return found


def test_every_difference_is_named_by_node_file_and_number_and_parts_are_the_whole(site: Site) -> None:
    copies = site.stage("copies")
    site.stage("parted", parted=True)
    parts = site.stage("spoilt", parted=True)
    name = copies[0].names[7]
    (copies[1].dest / name).unlink()
    flip(copies[2].dest / name)
    stamp = next(copies[2].dest.parent.glob(".copies@*.stamp"))
    stamp.write_text(json.dumps({"ctime_ns": time.time_ns() + 10**12}))  # as a disk does it: no quick look would see it
    for number in range(7):
        (copies[3].dest / f"stray{number}").write_text("x")
    one = min(parts[1].dest.rglob("*.bin"))
    twin = parts[2].dest / one.relative_to(parts[1].dest)
    twin.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(one, twin)
    status, verdicts, said = site.verify()
    assert status == 1, said
    told = name.replace(" ", "%20")
    first, second, third, fourth = (of(verdicts, node) for node in site.names)
    assert first["status"] == "PASS"
    assert first["evidence"]["copies"]["sampled"] == 60  # all were read
    assert (second["status"], second["seen"]) == ("FAIL", f"copies: 1 file missing: {told}")
    foreign = str(one.relative_to(parts[1].dest)).replace(" ", "%20")
    assert third["status"] == "FAIL"
    assert third["seen"] == (
        f"copies: 1 file with other bytes: {told}; spoilt: 1 file that does not belong there: {foreign}"
    )
    assert fourth["status"] == "FAIL"
    assert fourth["seen"].endswith("7 files that do not belong there: stray0, stray1, stray2, stray3, stray4, …")
    together = {v["seen"]: v for v in verdicts if "part" in v["seen"].partition(":")[2]}
    whole = together.pop("parted: 60 files in 4 parts, none twice")
    assert (whole["status"], sorted(whole["nodes"])) == ("PASS", site.names)
    (spoilt,) = together.values()
    assert (spoilt["status"], spoilt["nodes"]) == ("FAIL", ["minsky3"])
    assert "the part of minsky3 is not as it should be" in spoilt["seen"]
    for node in site.names[1:]:
        assert node in said
    assert told in said


def test_progress_is_shown_and_an_interrupt_leaves_nothing_running_on_any_node(site: Site) -> None:
    # One file of a terabyte, all of it a hole: nobody gets to its end.
    size = 1 << 40
    text = f"ddlcheck-manifest 1 1 {size}\n{'0' * 64} {size} hole\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    for node in site.lab.nodes:
        dest = node.root / HOME / "endless"
        dest.mkdir(parents=True)
        (dest.parent / f".endless@{digest[:16]}.manifest").write_text(text)
        with (dest / "hole").open("wb") as f:
            f.truncate(size)
    site.declare("endless", digest, method="none")
    terminal, theirs = pty.openpty()
    began = time.monotonic()
    with subprocess.Popen(site.argv(), cwd=TREE, stdout=subprocess.DEVNULL, stderr=theirs) as child:
        try:
            os.close(theirs)
            shown = until(terminal, f"% of {4 * 1024}.0 GiB", began + 120)
            assert "is last" in shown
            assert len(site.running()) >= 4
            child.send_signal(signal.SIGINT)
            interrupted = time.monotonic()
            shown = until(terminal, "interrupted", interrupted + 30)
            assert "Traceback" not in shown
            assert child.wait(30) == 130
        finally:
            child.kill()
            os.close(terminal)
    deadline = time.monotonic() + 60  # of which its agents take two to end what they started
    while site.running() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert site.running() == []


def until(terminal: int, words: str, deadline: float) -> str:
    """Read what is shown until it holds these words."""
    shown = ""
    while words not in shown:
        assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], shown[-500:]
        with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
            data = os.read(terminal, 4096).decode()
            assert data, shown[-500:]
            shown += data
            continue
        raise AssertionError(shown[-500:])
    return shown
