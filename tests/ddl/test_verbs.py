"""The two verbs, as they are typed; Open MPI itself where it is there."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from ddlcheck.cli import main

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(__file__).parent / "data"
FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "mpirun (Open MPI) {version}"; exit 0; fi
case " $* " in *donotlaunch*) echo "$*" > {folder}/dry; exit 0;; esac
printf '%s\\n' "$@" > {folder}/argv
echo "$DDL_OPTIONS" > {folder}/options
echo ran
cat {folder}/says >&2 2>/dev/null
exit {code}
"""


@pytest.fixture(autouse=True)
def _no_job(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "PBS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put an mpirun, and what the nodes are asked about it, first on the PATH."""

    def install(version="4.1.4", code=0):
        folder = tmp_path / "fake"
        folder.mkdir(exist_ok=True)
        programs = {
            "mpirun": FAKE.format(version=version, folder=folder, code=code),
            "ompi_info": f"#!/bin/sh\necho 'Open MPI v{version}'\n",
            "orted": "#!/bin/sh\n",
            "prted": "#!/bin/sh\n",
            "lscpu": "#!/bin/sh\nprintf '0,0,0,0\\n1,1,0,0\\n2,2,1,1\\n3,3,1,1\\n'\n",
            "nvidia-smi": "#!/bin/sh\nexit 9\n",
        }
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return install


def run(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "ddlcheck", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        **more,
    )


def test_a_rank_file_is_printed(capsys):
    assert main(["rankfile", "4x1x1", "minksy", "--cores", "8", "--no-header"]) == 0
    assert capsys.readouterr().out.split() == (DATA / "4x1x1.rf").read_text().split()


def test_a_rank_file_is_written_whole(tmp_path, capsys):
    target = tmp_path / "a.rf"
    assert main(["rankfile", "4x2x3", "sys-[89074-89079]", "--dialect", "4", "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text().splitlines()[1:7] == (DATA / "4x2x3.rf").read_text().splitlines()[1:7]
    assert [path.name for path in tmp_path.iterdir()] == ["a.rf"]


@pytest.mark.parametrize(
    "words",
    [
        ["4x2", "a"], ["4x2x1", "a"], ["4x1x1"], [], ["4x1x1", "a", "-H", "b"], ["4x1x1", "a", "--cores", "7"],
        ["4x1x1", "a", "--cores", "0"], ["4x1x1", "a", "-o", "/nonexistent/x"], ["4x1x1", "a", "-o", "/tmp"], ["--check", "/nonexistent", "-H", "a"],
        ["4x1x1", "--from-inventory", "/nonexistent/inventory"], ["4x1x1", "--", "-x"],
        ["4x1x1", "a", "--names", "fqdn", "--dialect", "4", "--cores", "x"],
    ],
)  # fmt: skip
def test_bad_words_are_a_sentence_and_status_2(words, capsys):
    try:
        status = main(["rankfile", *words])
    except SystemExit as error:  # argparse's own way
        status = error.code
    assert status == 2
    assert "Traceback" not in capsys.readouterr().err


def test_names_are_those_of_the_job_we_are_in(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    assert main(["rankfile", "2x2x1", "n1.example.com,n2", "--no-header"]) == 0
    assert "rank 0=n1 " in capsys.readouterr().out
    assert main(["rankfile", "2x2x1", "--no-header"]) == 0
    assert "rank 1=n2 " in capsys.readouterr().out
    assert main(["rankfile", "2x1x1", "other"]) == 2


def test_open_mpi_5_is_told_in_a_comment(capsys):
    assert main(["rankfile", "2x2x1", "a,b", "--dialect", "5"]) == 0
    assert "#  mpirun -n 4 --host a:2,b:2 --map-by rankfile:file=FILE" in capsys.readouterr().out


def test_a_right_file_is_ready_and_a_wrong_one_is_not(capsys):
    path = str(DATA / "4x2x1.rf")
    assert main(["rankfile", "--check", path, "-H", "sys-89074:4,sys-89075:4", "--dialect", "4"]) == 0
    assert main(["rankfile", "--check", path, "-H", "minsky1:4,minsky2:4", "--dialect", "4"]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_relative_names_are_wrong_for_open_mpi_4_alone(tmp_path):
    file = tmp_path / "n.rf"
    file.write_text("rank 0=+n0 slot=0:0\n")
    words = ["rankfile", "--check", str(file), "-H", "localhost:1", "--sockets", "1", "--cores", "1", "--dialect"]
    assert main([*words, "4"]) == 1


def test_open_mpi_5_reads_the_file_too(fake, capsys):
    folder = fake("5.0.11")
    assert main(["rankfile", "--check", str(DATA / "4x2x1.rf"), "-H", "sys-89074:4,sys-89075:4"]) == 0
    assert "own dry run maps every rank" in capsys.readouterr().out
    assert "--map-by rankfile:file=" in (folder / "dry").read_text()


def test_detection_asks_this_machine(fake, capsys):
    fake()
    assert main(["rankfile", "4x1x1", "localhost", "--detect", "--no-header"]) == 0
    slots = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert slots == ["slot=0:0", "slot=0:1", "slot=1:0", "slot=1:1"]


@pytest.mark.parametrize(("version", "words"), [("4.1.4", "--rankfile"), ("5.0.11", "--map-by")])
def test_the_line_is_printed_copyable_and_nothing_is_run(fake, version, words):
    folder = fake(version)
    done = run("launch", "-H", "localhost", "--gpus", "4", "--ddl", "-mode b:4x1x1", "--print", "--", "caffe", "a b")
    line = shlex.split(done.stdout)
    assert done.returncode == 0, done.stderr
    assert line[:3] == ["env", "DDL_OPTIONS=-mode b:4x1x1", "mpirun"]
    assert words in line
    assert line[-4:] == ["caffe", "a b", "-ddl", "-mode b:4x1x1"]
    assert not (folder / "argv").exists()
    files = pathlib.Path(line[line.index("--hostfile") + 1])
    assert files.read_text() == "localhost slots=4\n"
    assert "rank 3=localhost" in (files.parent / "rankfile").read_text()


def test_a_job_runs_and_leaves_nothing(fake, tmp_path):
    folder = fake()
    done = run("launch", "-H", "localhost", "--gpus", "2", "--ddl", "-mode p", "--env", "HOME", "--", "true")
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert "READY" in done.stderr
    assert (folder / "options").read_text() == "-mode p\n"
    assert list((tmp_path / "state" / "ddlcheck" / "launch").iterdir()) == []


def test_a_job_that_fails_keeps_its_log_and_its_status(fake, tmp_path):
    fake(code=9)
    done = run(
        "launch", "-H", "localhost", "--gpus", "2", "--no-verify", "--sockets", "1", "--cores", "2", "--", "true"
    )
    assert done.returncode == 9
    assert "were not looked at" in done.stderr
    (log,) = (tmp_path / "state").rglob("launch.log")
    assert log.read_text() == "ran\n"
    assert str(log) in done.stderr
    assert "no cause that is known here stands in it" in done.stderr


def test_a_job_that_fails_is_explained_by_its_own_words(fake):
    folder = fake(code=213)
    (folder / "says").write_text((ROOT / "tests" / "ddl" / "data" / "error-cq-and-rankfile.log").read_text())
    done = run(
        *["launch", "-H", "localhost", "--gpus", "2", "--no-verify", "--sockets", "1", "--cores", "2", "--", "true"]
    )
    assert done.returncode == 213
    first, second, third = [line for line in done.stderr.splitlines() if line.startswith("ddlcheck: cause: ")]
    assert first.endswith("minsky1, minsky2); remedy: role memlock")
    assert "Failed to create a completion queue" in first
    assert second.endswith("minsky1); remedy: role hostname")
    assert "role openmpi" in third


def test_a_job_that_was_ended_from_outside_is_not_explained(fake):
    folder = fake()
    (folder / "mpirun").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "mpirun (Open MPI) 4.1.4"; exit 0; }\n'
        "trap 'exit 1' INT\necho ready\nwhile :; do sleep 0.1; done\n"
    )
    words = ["-H", "localhost", "--gpus", "2", "--no-verify", "--sockets", "1", "--cores", "2", "--", "true"]
    with subprocess.Popen(
        [sys.executable, "-m", "ddlcheck", "launch", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as job:  # fmt: skip
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "ended by SIGINT" in said
    assert "no cause" not in said


def test_a_word_that_is_wrong_is_said_before_anybody_is_asked(fake):
    fake()
    done = run("launch", "-H", "n1.invalid", "--gpus", "1", "--interface", "nonesuch0", "--", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ddlcheck: this host has no interface 'nonesuch0'")


def test_a_rank_that_a_signal_ended_is_said_to_be(fake):
    fake(code=137)
    done = run(
        *["launch", "-H", "localhost", "--gpus", "2", "--no-verify", "--sockets", "1", "--cores", "2", "--", "true"]
    )
    assert done.returncode == 137
    assert "status 137 (SIGKILL)" in done.stderr


def test_a_host_that_is_not_ready_stops_the_launch(fake):
    folder = fake()
    done = run("launch", "-H", "localhost,n1.invalid", "--gpus", "2", "--", "true")
    assert done.returncode == 1
    assert "n1.invalid" in done.stderr
    assert not (folder / "argv").exists()


def test_inside_a_slurm_job_nothing_has_to_be_said(fake, monkeypatch):
    folder = fake()
    monkeypatch.setenv("SLURM_JOB_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", "2")
    done = run("launch", "--", "true")
    assert done.returncode == 0, done.stderr
    argv = (folder / "argv").read_text().split()
    assert argv[:3] == ["-n", "2", "--rankfile"]
    assert "--hostfile" not in argv


@pytest.mark.parametrize(("asks", "hostfile"), [("slurm", True), ("slurm tm", False), ("", False)])
def test_a_job_of_a_manager_that_this_mpirun_does_not_ask_gets_a_host_file(fake, monkeypatch, tmp_path, asks, hostfile):
    folder = fake()
    (tmp_path / "nodes").write_text("localhost\n")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    lines = "".join(f"echo '   MCA ras: {one} (MCA v2.1.0, API v2.0.0)'\n" for one in asks.split())
    (folder / "ompi_info").write_text(f"#!/bin/sh\necho 'Open MPI v4.1.4'\n{lines}")
    done = run("launch", "--", "true")
    assert done.returncode == 0, done.stderr
    assert ("--hostfile" in (folder / "argv").read_text().split()) is hostfile


def test_more_ranks_than_the_job_has_slots_stop_the_launch(fake, monkeypatch):
    fake()
    monkeypatch.setenv("SLURM_JOB_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", "2")
    done = run("launch", "--gpus", "4", "--", "true")
    assert done.returncode == 1
    assert "2 slots" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["-H", "localhost", "--gpus", "2"],
        ["--gpus", "2", "--", "true"],
        ["-H", "localhost", "--", "true"],
        ["-H", "localhost", "--gpus", "2", "--ddl", "-mode b:4x1x1", "--", "true"],
        ["-H", "localhost", "--mode", "4x1", "--", "true"],
        ["-H", "localhost", "--gpus", "2", "--env", "A=B", "--", "true"],
        ["-H", "localhost", "--gpus", "2", "--interface", "-x", "--", "true"],
        ["-H", "localhost", "--gpus", "2", "--mpirun", "nonesuch", "--", "true"],
        ["-H", "localhost", "--gpus", "2", "--no-verify", "--", "true"],
        ["-H", "a", "--inventory", "b", "--gpus", "2", "--", "true"],
    ],
)
def test_bad_launches_are_a_sentence_and_status_2(fake, words):
    fake()
    done = run("launch", *words)
    assert done.returncode == 2, done.stderr
    assert "bug" not in done.stderr


def real(minimum):
    """Return an Open MPI of this major that is installed here; DDLCHECK_MPIRUN names more of them."""
    for program in [*os.environ.get("DDLCHECK_MPIRUN", "").split(":"), "mpirun"]:
        found = shutil.which(program) if program else None
        if found:
            said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            if f"(Open MPI) {minimum}." in said:
                return found
    return None


@pytest.mark.parametrize("major", [4, 5])
def test_a_real_open_mpi_runs_the_line(major, monkeypatch):
    program = real(major)
    if program is None:
        pytest.fail(f"no Open MPI {major} here: `make` names one in DDLCHECK_MPIRUN")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    say = 'import json, os; print(json.dumps([os.environ[n] for n in ("OMPI_COMM_WORLD_RANK", "DDL_OPTIONS")]), flush=True)'
    done = run(
        "launch", "--mpirun", program, "-H", "localhost", "--mode", "1x1x1", "--ddl", "-mode r:1", "--env", "PATH",
        "--", sys.executable, "-c", say,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["0", "-mode r:1"]
