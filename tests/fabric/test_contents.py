"""Every message's bytes are compared: the rank program between two ranks of this machine, and messages that are wrong."""

import json
import os
import subprocess
from pathlib import Path

import pytest

FABRIC = Path(__file__).parents[2] / "ddlcheck" / "fabric"
ROOT = ["--allow-run-as-root"] if os.geteuid() == 0 else []
MARK = "@ddlcheck@ "
SIZE = 1 << 20

pytestmark = pytest.mark.lab


def build(program, *argv):
    subprocess.run(["mpicc", "-O2", "-std=gnu11", "-o", program, *argv, "-ldl", "-pthread"], check=True)
    return str(program)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(tmp_path_factory.mktemp("rank") / "rank", FABRIC / "rank" / "rank.c")


@pytest.fixture(scope="module")
def damage(tmp_path_factory):
    return build(
        tmp_path_factory.mktemp("damage") / "damage.so", "-shared", "-fPIC", Path(__file__).with_name("damage.c")
    )


def pair(program, *words, **env):
    """Return what two ranks said of their pair."""
    told = [part for name in env for part in ("-x", name)]
    argv = ["mpirun", *ROOT, "--oversubscribe", *told, "-n", "2", program, *words]
    out = subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=120, env={**os.environ, **env}
    ).stdout
    (found,) = [json.loads(line.partition(MARK)[2]) for line in out.splitlines() if '"t":"pair"' in line]
    return found


@pytest.mark.parametrize("size", [65536, 65543, 100001, SIZE, SIZE + 1])
def test_a_size_of_any_length_arrives_right(program, size):
    found = pair(program, f"sizes={size}", "ms=20")
    assert found["bad"] == 0
    assert found["bw"][0]["ab"] > 0


@pytest.mark.parametrize("size", [1, 3, 8, 13, 4096])
def test_a_short_message_of_any_length_arrives_right(program, size):
    found = pair(program, f"sizes={size}", "ms=20")
    assert found["bad"] == 0
    assert found["lat"][0]["median"] > 0


# A word of each 256 bytes is spoiled before they come: the place of what never came, and the bytes before it are right.
@pytest.mark.parametrize(("how", "at"), [("flip", 54321), ("short", SIZE - 256), ("shift", 0), ("stale", 0)])
def test_a_message_that_is_not_what_was_sent_is_seen_once_and_with_its_place(program, damage, how, at):
    found = pair(program, f"sizes={SIZE}", "windows=8", LD_PRELOAD=damage, DAMAGE=how)
    assert (found["bad"], found["at"] // 8) == (1, at // 8)
