"""What nodes try at once on a shared file system, as the nodes' program does it, on a folder of this machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from ddlcheck.probes import tokens


def tried(folder: Path, within: float, put: Any) -> dict[str, dict[str, Any]]:
    """Return what came of replacing a file, by node: n1 replaces it, n2 reads."""
    out: dict[str, dict[str, Any]] = {}
    names = ["n1", "n2"]

    def node(name: str) -> None:
        space = {"__name__": "tokens", "AGENT": {}}
        exec(compile(Path(tokens.__file__).read_text(), "tokens", "exec"), space)  # noqa: S102 - as the agent does
        real = space["put"]
        space["put"] = lambda path, data: put(real, path, data)
        want = {"folder": str(folder), "nonce": "ab", "me": name, "names": names, "within": within}
        out[name] = space["rename"](want)  # type: ignore[operator]

    threads = [threading.Thread(target=node, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return out


def test_a_file_that_is_replaced_slowly_is_not_read_too_late(tmp_path: Path) -> None:
    def slow(real: Any, path: str, data: bytes) -> None:
        time.sleep(0.6 if path.endswith(".new") else 0)
        real(path, data)

    out = tried(tmp_path, 4.0, slow)
    assert {name: (said["last"], said["missing"], said["torn"]) for name, said in out.items()} == {
        "n1": (10, 0, 0), "n2": (10, 0, 0),
    }  # fmt: skip


def test_a_file_whose_replacement_never_shows_is_read_too_late(tmp_path: Path) -> None:
    def elsewhere(real: Any, path: str, data: bytes) -> None:
        real(path, b"%-1000d\n" % 3 if path.endswith(".new") else data)

    began = time.monotonic()
    out = tried(tmp_path, 1.0, elsewhere)
    assert out["n2"]["last"] == 3
    assert time.monotonic() - began < 60
