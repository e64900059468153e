"""Bringing a lab up and taking it down.

What `down` removes is found by the lab's name (control group, mounts, name spaces, interface), never only by
its records: an `up` that was killed may not have written them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.lab import access, host, image, network, packages
from ddlcheck.lab.cgroups import Group, hierarchies
from ddlcheck.lab.cluster import Lab, names, valid_name, valid_size
from ddlcheck.lab.nodes import entering
from ddlcheck.lab.seed import seed
from ddlcheck.lab.sweep import make_room, sweep
from ddlcheck.probes import parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Bytes of what the nodes share, as tmpfs takes them: memory, but only as much as is written.
SHARED = "size=256m,nr_inodes=16k"


def up(name: str, nodes: int, say: Callable[[str], None], timeout: float = 120) -> Lab:
    """Bring up a lab and wait until every node answers ssh.

    A lab of that name and size that is up already is left as it is.

    Raises:
        UsageError: the host cannot carry it, or there is something else of that name.
        DdlcheckError: it could not be built (all is removed again), or a node does not answer (all stays,
            so that the console can be read).

    """
    valid_name(name)
    valid_size(nodes)
    host.require()
    hierarchies()
    with host.locked(f"lab-{name}", wait=False):
        if standing := _standing(name, nodes):
            say(f"lab {name} is up already")
            return standing
        tree = image.ensure(say)
        started = time.monotonic()
        try:
            lab = _record(name, nodes)
            say(f"starting {nodes} nodes of lab {name} on {lab.network.block}")
            _start(lab, tree)
        except BaseException:
            sweep(name)
            raise
        silent = lab.silent(timeout)
    if silent:
        who = ", ".join(node.name for node in silent)
        logs = " ".join(str(node.console) for node in silent)
        raise DdlcheckError(f"{who} did not answer ssh within {timeout:.0f} s: read {logs}")
    say(f"{nodes} nodes answer ssh after {time.monotonic() - started:.1f} s")
    return lab


def down(name: str) -> bool:
    """Remove every trace of the lab ``name``; say whether there was any.

    Raises:
        UsageError: not root, or an `up` of this lab is at work.
        DdlcheckError: something would not go away.

    """
    valid_name(name)
    host.require_root()
    with host.locked(f"lab-{name}", wait=False):
        return sweep(name)


def _standing(name: str, nodes: int) -> Lab | None:
    again = f"`ddlcheck lab down --name {name}` first"
    if not (host.LABS / name).exists():
        if network.spaces(name) or Group(name).populated():
            raise UsageError(f"something is left of an earlier lab {name}: {again}")
        return None
    try:
        lab = Lab.load(name)
    except UsageError:
        raise UsageError(f"lab {name} is half made: {again}") from None
    if lab.size != nodes:
        raise UsageError(f"lab {name} is up with {lab.size} nodes, not {nodes}: {again}")
    if lab.silent(10):
        raise UsageError(f"lab {name} is up, but not all of its nodes answer: {again}")
    return lab


def _record(name: str, nodes: int) -> Lab:
    host.LABS.mkdir(parents=True, exist_ok=True)
    with host.locked("lab-addresses", wait=True):  # two labs must not choose the same ones
        taken = set()
        for other in names():
            with contextlib.suppress(UsageError):
                taken.add(Lab.load(other).base)
        lab = Lab(name, nodes, network.free_base(taken))
        lab.directory.mkdir(mode=0o700)
        (lab.directory / "state.json").write_text(json.dumps({"nodes": nodes, "base": lab.base}))
        make_room(sum(Lab.load(other).size for other in names()))
    return lab


def _start(lab: Lab, tree: Path) -> None:
    authorized = access.make_key(lab.key, f"lab {lab.name}")
    lab.network.up(lab.size)
    lab.shared.mkdir()
    # Of its own size, so that it can be full without the host being so.
    host.run(["mount", "-t", "tmpfs", "-o", f"{SHARED},mode=1777", "lab-shared", lab.shared])
    _make_dataset(lab)
    _serve_packages(lab)
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(partial(seed, image=tree, authorized=authorized), lab.nodes))
    access.write(lab, {node.name: key for node, key in zip(lab.nodes, keys, strict=True)})
    for node in lab.nodes:
        node.start()


def _make_dataset(lab: Lab) -> None:
    """Make a data set in what the nodes share, the same bytes in every lab, and its manifest."""
    source = lab.shared / "digits"
    for digit in range(10):
        (source / str(digit)).mkdir(parents=True)
        for number in range(10):
            name = f"{digit}{number}"
            (source / str(digit) / f"{name}.bin").write_bytes(hashlib.sha512(name.encode()).digest() * 64)
    space: dict[str, Any] = {"__name__": "dataset"}
    exec(compile(parts.program("dataset"), "dataset.py", "exec"), space)  # noqa: S102 - the role's own program
    (lab.directory / "digits.manifest").write_text(space["make"](str(source)))


def _serve_packages(lab: Lab) -> None:
    kept = host.CACHE / "apt"
    kept.mkdir(parents=True, exist_ok=True)
    mirrors = sorted({urlsplit(source.split()[1]).netloc for source in image.sources()})
    argv = [
        *entering(Group(f"{lab.name}/packages")),
        sys.executable,
        "-I",
        packages.__file__,
        "--space",
        str(network.NETNS / lab.network.switch),
        "--address",
        lab.network.address("eth0", network.SWITCH),
        "--directory",
        str(kept),
        *mirrors,
    ]
    host.detach(argv, lab.directory / "logs" / "packages.log", {**host.ENVIRONMENT, **host.proxies()})
