"""`ddlcheck gate` as a user runs it, on simulated nodes and a stand-in for srun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gates.simulated import Simulated, verdicts

ROOT = Path(__file__).parents[2]
LOW = verdicts(memlock="FAIL")


@pytest.fixture
def nodes(tmp_path):
    return Simulated(tmp_path / "sim", 4)


@pytest.fixture
def gate(nodes, tmp_path):
    def run(*words, env=None, timeout=120, where=None):
        return subprocess.run(
            [sys.executable, "-m", "ddlcheck", "gate", *(nodes.words if where is None else where), *words],
            capture_output=True, text=True, check=False, timeout=timeout, cwd=tmp_path,
            env={**nodes.environment(os.environ), "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state"), **(env or {})},
        )  # fmt: skip

    return run


def test_the_command_runs_where_every_node_is_ready(gate):
    done = gate("--", "sh", "-c", "echo job $DDLCHECK_NODES; exit 7")
    assert done.stdout == "job n0001,n0002,n0003,n0004\n", done.stderr
    assert done.returncode == 7
    assert done.stderr.startswith("READY")


def test_the_command_does_not_run_where_a_node_is_not(gate, nodes):
    nodes.gate("n0003", LOW, 1)
    done = gate("--", "echo", "job")
    assert (done.returncode, done.stdout) == (1, "")
    assert "n0003" in done.stderr
    assert "memlock" in done.stderr


NO_JUDGEMENT = (
    ("", 127, "there is no gate on the node"), ("Traceback\n", 1, "Traceback"), ("{", 0, "no verdict"),
    ('{"verdicts": []}', 0, "exit status 0"), ("ddlcheck-node: intent.json: it is for n7", 2, "it is for n7"),
    (verdicts(memlock="PASS"), 1, "exit status 1"), (verdicts(memlock="SKIP"), 0, "exit status 0"),
    ('{"refused": "it is for n8", "verdicts": []}', 2, "it is for n8"), ("", 0, "exit status 0"),
    (verdicts(memlock="PASS")[:-3], 0, "no verdict"),
)  # fmt: skip


def test_a_gate_that_did_not_judge_stops_the_job(gate, tmp_path):
    nodes = Simulated(tmp_path / "more", len(NO_JUDGEMENT) + 1)
    for name, (says, status, _) in zip(nodes.names, NO_JUDGEMENT, strict=False):
        nodes.gate(name, says, status)
    done = gate("--json", "out.json", "--", "echo", "job", env=nodes.environment(os.environ), where=nodes.words)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    found = [v for v in json.loads((tmp_path / "out.json").read_text())["verdicts"] if v["promise"] == "health_gate"]
    said = {v["nodes"][0]: v["seen"] for v in found if v["status"] == "UNKNOWN"}
    assert sorted(said) == nodes.names[: len(NO_JUDGEMENT)]
    assert [
        words for name, (_, _, words) in zip(nodes.names, NO_JUDGEMENT, strict=False) if words not in said[name]
    ] == []


def test_the_bad_are_left_out_where_that_is_asked_for(gate, nodes):
    nodes.gate("n0003", LOW, 1)
    done = gate("--exclude-bad", "--gpus", "2", "--min-nodes", "3", "--", "sh", "-c",
                "cat {hostfile} {rankfile}; echo {nodes} {count} {excluded}; "
                'cmp {hostfile} "$DDLCHECK_HOSTFILE" && cmp {rankfile} "$DDLCHECK_RANKFILE"')  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("n0001 slots=2\nn0002 slots=2\nn0004 slots=2\n")
    assert done.stdout.endswith("n0001,n0002,n0004 3 n0003\n")
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("rank ")] == [
        "0=n0001", "3=n0001", "1=n0002", "4=n0002", "2=n0004", "5=n0004"]  # fmt: skip  # as DDL counts
    assert "without n0003" in done.stderr


def test_too_few_left_is_a_no(gate, nodes):
    nodes.gate("n0003", LOW, 1)
    done = gate("--exclude-bad", "--min-nodes", "4", "--", "echo", "job")
    assert (done.returncode, done.stdout) == (1, "")
    assert "3 of 4 nodes are ready, and --min-nodes asks for 4" in done.stderr


def test_a_gate_that_hangs_ends_with_its_node(gate, nodes):
    (nodes.folder / "n0002.gate").write_text("sleep 300\n")
    begun = time.monotonic()
    done = gate("--exclude-bad", "--deadline", "6", "--", "echo", "{excluded}")
    assert done.stdout == "n0002\n", done.stderr
    assert time.monotonic() - begun < 60


def test_a_dry_run_runs_nothing(gate, tmp_path):
    done = gate("--dry-run", "--", "touch", str(tmp_path / "ran"), "{hostfile}")
    assert done.returncode == 0, done.stderr
    assert "would run: touch" in done.stderr
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "state").rglob("hostfile"))


def test_no_command_is_a_look(gate, tmp_path):
    done = gate("--json", str(tmp_path / "out.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["exit"] == 0


def test_a_node_that_resolves_otherwise_is_named(gate, nodes):
    (nodes.folder / "n0004.names").write_text("127.0.1.1 STREAM n0004\n")
    done = gate("--", "echo", "job")
    assert (done.returncode, done.stdout) == (1, "")
    assert "hosts_file  n0004" in done.stderr
    assert "loopback" in done.stderr


def test_signals_and_status_are_the_command_s_own(nodes, tmp_path):
    """The gate is gone when the command runs: the process that is signalled is the command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ddlcheck", "gate", *nodes.words, "--", "sh", "-c", "echo $$; exec sleep 300"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**nodes.environment(os.environ), "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_broken_pipe_ends_the_command_as_it_would_without_us(nodes, tmp_path):
    line = f"{sys.executable} -m ddlcheck gate {' '.join(nodes.words)} -- yes | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False, timeout=120,
        env={**nodes.environment(os.environ), "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("y\n", 128 + signal.SIGPIPE)


@pytest.mark.parametrize(("words", "says"), [
    (["-H", "a,b", "--hostfile", "x"], "named twice"),
    ([], "no nodes: name them"),
    (["-H", "a", "--", "no-such-program"], "there is no program no-such-program"),
    (["-H", "a", "--json", "-", "--", "true"], "standard output is COMMAND's"),
    (["--hostfile", "/nowhere"], "cannot be read"),
    (["-H", "a", "--mpirun", "/nowhere/mpirun"], "there is no program /nowhere/mpirun"),
    (["-H", "a", "--budget", "nan"], "not a number of seconds"),
    (["-H", "a", "--min-nodes", "0"], "whole number from 1"),
    (["-H", "-oProxyCommand=x"], "expected one argument"),
    (["--host=-oProxyCommand=x"], "is not a host name"),
])  # fmt: skip
def test_bad_words_are_one_sentence(gate, words, says):
    done = gate(*words, where=[])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_rank_file_that_cannot_be_is_said_before_the_command_runs(gate):
    done = gate("--", "echo", "{rankfile}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "say --gpus" in done.stderr


# A stand-in for srun, as 22.05 behaves: labelled lines, SLURMD_NODENAME, and a node that cannot be reached ends the step.
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do case $1 in --nodelist=*) list=${1#*=} ;; esac; shift; done
cat > "$SIMULATED/input"
for dead in $DEAD; do case ,$list, in *,$dead,*)
  echo "srun: error: Task launch for StepId=7.0 failed on node $dead: Communication connection failure" >&2
  echo "srun: error: Application launch failed: Communication connection failure" >&2; exit 1 ;; esac; done
i=0
for node in $(echo "$list" | tr , ' '); do
  SLURMD_NODENAME=$node DDLCHECK_NODE=$node "$@" < "$SIMULATED/input" | sed "s/^/$i: /"; i=$((i + 1))
done
"""


@pytest.fixture
def slurm(nodes):
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\necho 'PropagateResourceLimits = ALL'\n"}.items():
        (nodes.bin / name).write_text(text)
        (nodes.bin / name).chmod(0o755)
    return {"SLURM_JOB_NODELIST": "n[0001-0004]", "SLURM_TASKS_PER_NODE": "2(x4)"}


def test_in_a_slurm_job_one_step_asks_all_nodes(gate, nodes, slurm):
    done = gate("--launcher", str(nodes.bin / "gate"), "--budget", "0", "--", "cat", "{hostfile}", env=slurm, where=[])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"n000{i} slots=2\n" for i in range(1, 5))
    assert (nodes.folder / "input").read_text().startswith("exec 2>/dev/null")


def test_a_node_that_a_step_cannot_reach_is_bad_and_the_others_are_asked(gate, nodes, slurm):
    words = ["--launcher", str(nodes.bin / "gate"), "--budget", "0", "--exclude-bad", "--", "echo", "{nodes}"]
    done = gate(*words, env={**slurm, "DEAD": "n0003"}, where=[])
    assert done.stdout == "n0001,n0002,n0004\n", done.stderr
    assert "failed on node n0003" in done.stderr


def test_a_step_that_is_refused_is_not_ready(gate, nodes, slurm):
    (nodes.bin / "srun").write_text("#!/bin/sh\necho 'srun: error: Unable to create step' >&2; exit 1\n")
    words = ["--launcher", str(nodes.bin / "gate"), "--budget", "0", "--exclude-bad", "--", "echo", "job"]
    done = gate(*words, env=slurm, where=[])
    assert (done.returncode, done.stdout) == (3, "")
    assert "Unable to create step" in done.stderr


def test_a_low_limit_that_the_shell_brought_is_named(gate, nodes, slurm):
    says = json.loads(LOW)
    says["verdicts"][0]["declared"] = {"limit": "8192"}
    nodes.gate("every", json.dumps(says), 1)
    words = ["--launcher", str(nodes.bin / "gate"), "--budget", "0", "--", "echo", "job"]
    done = gate(*words, env=slurm, where=[])
    assert done.returncode == 1
    assert "PropagateResourceLimits=ALL carries" in done.stderr


@pytest.mark.parametrize("env", [
    {"LSB_MCPU_HOSTS": "n0001 2 n0002 2"}, {"LSB_HOSTS": "n0001 n0001 n0002 n0002"}, {"PBS_NODEFILE": "nodes"},
    {"LSB_DJOB_HOSTFILE": "nodes"}, {"FLUX_URI": "local:///run/flux"},
])  # fmt: skip
def test_the_job_s_own_nodes_are_asked(gate, nodes, tmp_path, env):
    (tmp_path / "nodes").write_text("n0001\nn0001\nn0002\nn0002\n")
    (nodes.bin / "flux").write_text("#!/bin/sh\necho 'n[0001-0002]'\n")
    (nodes.bin / "flux").chmod(0o755)
    done = gate("--", "cat", "{hostfile}", env=env)
    assert done.returncode == 0, done.stderr
    slots = "" if "FLUX_URI" in env else " slots=2"
    assert done.stdout == f"n0001{slots}\nn0002{slots}\n"


@pytest.mark.parametrize("env", [
    {"LSB_MCPU_HOSTS": "n0001 two"}, {"LSB_MCPU_HOSTS": "n0001"}, {"PBS_NODEFILE": "/nowhere"}, {"FLUX_URI": "x"},
    {"LSB_DJOB_HOSTFILE": "/nowhere"}, {"SLURM_JOB_NODELIST": "n[1-", "SLURM_TASKS_PER_NODE": "1"},
])  # fmt: skip
def test_an_environment_that_contradicts_itself_is_one_sentence(gate, env):
    done = gate("--", "echo", "job", env=env)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1


def test_of_more_nodes_than_are_asked_at_once_one_is_found(tmp_path):
    """The whole of a thousand, with its memory, is in bench/gate.py."""
    nodes = Simulated(tmp_path / "sim", 70)
    nodes.gate("n0067", LOW, 1)
    done = subprocess.run(
        [sys.executable, "-m", "ddlcheck", "gate", *nodes.words, "--exclude-bad", "--", "echo", "{count} without {excluded}"],
        capture_output=True, text=True, check=False, timeout=300,
        env={**nodes.environment(os.environ), "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "69 without n0067\n", done.stderr
