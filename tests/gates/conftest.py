"""What the gate's tests share: an intent file for this very machine, in a folder that only we write to."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from ddlcheck import checks
from ddlcheck.declared import defaults
from ddlcheck.gates import promised
from ddlcheck.intent import Intent

TREE = pathlib.Path(__file__).parents[2]
HOST = socket.gethostname()
#: A node's own Python: the one of a virtual environment may stand where other users cannot read.
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable


def intent(node=HOST, **values):
    """Return the intent of a node in a cluster of three."""
    base = {**defaults(), "memlock_daemons": [], "memlock_limit": "1", **values}
    cluster = {
        node: base,
        "peer1": {**base, "hosts_file_address": "192.0.2.2"},
        "peer2": {**base, "hosts_file_address": "192.0.2.3"},
    }
    return Intent(node, base, cluster)


def made(node=HOST, when=None, only=None, **values):
    """Return the bytes of an intent file; ``only`` names the checks in it."""
    return promised.make(intent(node, **values), checks.load(only), int(time.time() if when is None else when))


@pytest.fixture
def place(tmp_path):
    """A folder that is ours alone, as /etc/ddlcheck is root's."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def kept(place):
    """Return a function that writes an intent file and returns its path."""

    def write(data=None, **values):
        path = place / "intent.json"
        path.write_bytes(made(**values) if data is None else data)
        path.chmod(0o644)
        return str(path)

    return write


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """The gate as a node has it: its own modules only, compiled, started with -I -S."""
    from ddlcheck.gates import payload

    root = tmp_path_factory.mktemp("node")
    for name, content in payload.modules().items():
        path = root / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    subprocess.run([PYTHON, "-m", "compileall", "-q", str(root / "lib")], check=True)
    text = payload.launcher("x").replace(f"{payload.LIBRARY}/x", str(root / "lib")).replace("/usr/bin/python3", PYTHON)
    path = root / "ddlcheck-node"
    path.write_text(text)
    path.chmod(0o755)
    return path


def gate(launcher, *words, timeout=60):
    """Run the gate as a process of its own."""
    return subprocess.run(
        [str(launcher), *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
    )


def verdicts(done):
    return {v["promise"]: v for v in json.loads(done.stdout)["verdicts"]}
