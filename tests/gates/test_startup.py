"""Start-up is the product: what the gate imports, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddlcheck.gates import payload
from tests.gates.conftest import PYTHON, gate

#: Each of them costs milliseconds; all of them together more than Python's own start.
FORBIDDEN = {
    "json", "re", "enum", "argparse", "subprocess", "pathlib", "typing", "dataclasses", "functools", "collections", "contextlib",
    "threading", "socket", "signal", "tempfile", "hashlib", "importlib", "inspect", "logging", "datetime", "shlex", "glob", "ast", "yaml",
}  # fmt: skip


def test_a_ready_node_s_gate_imports_none_of_what_is_slow(launcher, kept):
    path = kept(only=["hostname", "memlock", "resources"], resources_files=[{"path": "/etc/passwd"}], resources_services=["x"],
                resources_threads=1, resources_memory_min=1, resources_filesystems=[{"path": "/", "free_min": 1}])  # fmt: skip
    done = subprocess.run(
        [PYTHON, "-ISX", "importtime", str(launcher), "--intent", path, "--status", "", "--quiet"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"ddlcheck.gates.main", "ddlcheck.gates.node", "ddlcheck.checks.resources"} <= names, done.stderr
    assert names & FORBIDDEN == set()
    assert len(names) < 75, sorted(names)


def test_the_ordinary_entry_point_is_as_lean_but_for_site(ready_words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ddlcheck", "node", *ready_words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 0
    assert names & {"argparse", "json", "yaml", "ansible", "subprocess", "ddlcheck.cli"} == set()


@pytest.fixture
def ready_words(kept):
    return ["--intent", kept(only=["resources"], resources_files=[{"path": "/etc/passwd"}]), "--status", ""]


def test_the_payload_is_whole_and_holds_nothing_of_the_controller(launcher, ready_words):
    names = set(payload.modules())
    assert not [
        n for n in names if n.split("/")[1] in ("cli", "lab", "report", "remedy.py", "inventory.py", "fabric", "run.py")
    ]
    assert gate(launcher, *ready_words).returncode == 0
    assert (
        gate(launcher, *ready_words, "--background", "--results", str(launcher.parent / "run" / "b.json")).returncode
        == 0
    )


def test_equal_modules_have_equal_names_and_archives():
    found = payload.modules()
    assert payload.digest(found) == payload.digest(payload.modules())
    assert payload.archive(found, "a") == payload.archive(payload.modules(), "a")
    assert payload.digest({**found, "x": b""}) != payload.digest(found)
    assert payload.launcher("abc").startswith("#!/usr/bin/python3 -IS\n")


def test_the_payload_uses_no_string_method_that_its_oldest_python_lacks():
    """What `make lint` cannot tell, since it knows no types."""
    assert payload.PYTHON < (3, 9)
    late = {
        name: [m for m in (b".removeprefix(", b".removesuffix(") if m in content]
        for name, content in payload.modules().items()
    }
    assert {name: methods for name, methods in late.items() if methods} == {}
