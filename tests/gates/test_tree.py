"""Beyond 64 nodes: ClusterShell's tree over a real sshd, which stands for gateways and nodes under many names."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import sys

import ClusterShell
import pytest

from ddlcheck.errors import UsageError
from ddlcheck.gates import fanout
from ddlcheck.inventory import Node
from tests.sshd import running

GATEWAYS = ("gw1", "gw2")
NAMES = [f"n{number:03}" for number in range(1, 71)]
#: A Python that can import ClusterShell, wherever a gateway's session would look for one.
LIBRARY = pathlib.Path(ClusterShell.__file__).parents[1]
#: What a node says: through which gateway is not its business.
SCRIPT = "echo @ddlcheck host; echo told by $SSH_CONNECTION\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A machine of many names: an ssh in front of the real one says whom it was asked to reach, and from where."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "bin").mkdir()
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    with running(folder, f"SetEnv=PATH={path}", "MaxStartups=300") as sshd:
        sshd.pin(name="tree")
        (folder / "config").write_text(
            f"Host lost gwlost\n  Port 1\nHost *\n  HostName 127.0.0.1\n  Port {sshd.port}\n  HostKeyAlias tree\n"
            f"  UserKnownHostsFile {sshd.known_hosts}\n  IdentityFile {folder / 'user'}\n  IdentitiesOnly yes\n"
        )
        wrapper = folder / "bin" / "ssh"
        wrapper.write_text(
            f'#!/bin/sh\necho "${{TREE_ROOT:-gateway}} $*" >> {folder / "went"}\n'
            f'exec {shutil.which("ssh")} -F {folder / "config"} "$@"\n'
        )
        wrapper.chmod(0o755)
        yield sshd


@pytest.fixture
def site(server, monkeypatch):
    """A site that has described its tree; what went where is forgotten."""
    (server.folder / "went").write_text("")
    root = socket.gethostname().partition(".")[0]
    describe(server, f"{root}: {','.join(GATEWAYS)}\n{','.join(GATEWAYS)}: {NAMES[0]}-{NAMES[-1]},lost\n")
    monkeypatch.setattr(fanout, "CONNECT", 120.0)  # seventy sessions begin at once on this one machine
    for name, value in {
        "TREE_ROOT": "root", "PATH": f"{server.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(LIBRARY),
        "CLUSTERSHELL_GW_PYTHON_EXECUTABLE": sys.executable, "CLUSTERSHELL_CFGDIR": str(server.folder),
        "CLUSTERSHELL_GW_LOG_DIR": str(server.folder),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return server


def describe(server, routes):
    first, last = NAMES[0], NAMES[-1]
    text = routes.replace(f"{first}-{last}", f"n[{first[1:]}-{last[1:]}]")
    (server.folder / "topology.conf").write_text(f"[routes]\n{text}")


def ask(names, seconds=400.0):
    return fanout.over([Node(name, name) for name in names], SCRIPT, seconds)


def went(server, who):
    return [line for line in (server.folder / "went").read_text().splitlines() if line.startswith(f"{who} ")]


def test_seventy_nodes_answer_through_two_gateways(site):
    got = ask(NAMES)
    assert {name: seen.reached for name, seen in got.items()} == dict.fromkeys(NAMES, True), (
        site.folder / "log"
    ).read_text()[-2000:]
    assert all(seen["host"].startswith("told by 127.0.0.1 ") for seen in got.values())
    # From here only to the gateways: that is what a tree is for.
    assert len(went(site, "root")) == len(GATEWAYS)
    assert len(went(site, "gateway")) == len(NAMES)
    assert all("StrictHostKeyChecking=yes" in line for line in went(site, "root") + went(site, "gateway"))


def test_a_node_that_cannot_be_reached_is_named_and_a_gateway_that_cannot_is_done_without(site):
    root = socket.gethostname().partition(".")[0]
    describe(site, f"{root}: gw1,gwlost\ngw1,gwlost: {NAMES[0]}-{NAMES[-1]},lost\n")
    got = ask([*NAMES, "lost"])
    assert [name for name, seen in got.items() if not seen.reached] == ["lost"]
    assert got["lost"].reason == "refused", got["lost"]


def test_without_any_gateway_every_node_is_unknown(site):
    root = socket.gethostname().partition(".")[0]
    describe(site, f"{root}: gwlost\ngwlost: {NAMES[0]}-{NAMES[-1]}\n")
    got = ask(NAMES)
    assert {seen.reached for seen in got.values()} == {False}
    assert all("gwlost" in seen.error or "tree" in seen.error for seen in got.values()), got["n001"]


def test_sixty_four_nodes_and_fewer_need_no_tree(site, monkeypatch):
    asked = []
    monkeypatch.setattr(fanout, "each", lambda nodes, *_more: asked.append(len(nodes)) or {})
    ask(NAMES[:64])
    assert asked == [64]
    assert went(site, "root") == []


def test_a_tree_that_does_not_begin_here_is_refused_in_one_sentence(site):
    describe(site, "elsewhere: gw1\ngw1: n[001-070]\n")
    with pytest.raises(UsageError, match=r"topology\.conf: .*not a valid root node.*--inventory"):
        ask(NAMES)
