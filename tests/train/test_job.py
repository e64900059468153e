"""The job as it is started: by a real mpirun of either Open MPI, and by hand."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def environment(**more):
    return {
        **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PYTHONPATH": str(ROOT), **more,
    }  # fmt: skip


def run(argv, **more):
    return subprocess.run(
        argv, cwd="/", capture_output=True, text=True, check=False, timeout=240, env=environment(**more)
    )


def train(*words, **more):
    return run([sys.executable, "-m", "ddlcheck.train", *words], **more)


def real(major):
    """Return the launch words of an Open MPI of this major that is installed here."""
    for program in [*os.environ.get("DDLCHECK_MPIRUN", "").split(":"), "mpirun"]:
        found = shutil.which(program) if program else None
        if found and f"(Open MPI) {major}." in run([found, "--version"]).stdout:
            return [found, "--oversubscribe"] if major == 4 else [found, "--map-by", ":OVERSUBSCRIBE"]
    return pytest.fail(f"no Open MPI {major} here: `make` names one in DDLCHECK_MPIRUN")


@pytest.mark.parametrize("major", [4, 5])
def test_two_learners_of_a_real_open_mpi_prove_it_and_twice_the_same(major, tmp_path):
    digests = []
    for number in range(2):
        report = tmp_path / f"{number}.json"
        words = ["--steps", "20", "--seconds", "0.05", "--json", str(report)] + (["--no-scaling"] if number else [])
        done = run([*real(major), "-n", "2", sys.executable, "-m", "ddlcheck.train", *words])
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout.count("PASS") == 3
        data = json.loads(report.read_text())
        assert data["library"].startswith(f"Open MPI v{major}.")
        assert (data["ranks"], data["proven"], data["plan"]["batch"]) == (2, True, 240)
        digests.append(data["weights"])
        assert [one["ranks"] for one in data["scaling"]] == ([] if number else [1, 2])
    assert digests[0] == digests[1]


def test_a_batch_that_does_not_divide_is_one_sentence_of_one_rank():
    done = run([*real(5), "-n", "3", sys.executable, "-m", "ddlcheck.train", "--batch", "100"])
    assert done.returncode == 2
    assert done.stderr.count("ddlcheck-train: a batch of 100 does not divide among 3 ranks: say --batch 99 or 102") == 1
    assert "Traceback" not in done.stderr


def test_the_mpi_of_another_launcher_is_not_taken_for_a_job_of_many():
    done = train("--no-scaling", OMPI_COMM_WORLD_SIZE="4")
    assert done.returncode == 3
    assert "4 ranks were started and each sees 1" in done.stderr


def without(tmp_path, module):
    """Return a PYTHONPATH in which a module is not to be found."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.partition('.')[0] == {module!r}: raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    return f"{folder}:{ROOT}"


def test_without_mpi4py_it_is_one_sentence_and_status_2(tmp_path):
    done = train(PYTHONPATH=without(tmp_path, "mpi4py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"ddlcheck-train: there is no mpi4py on \S+: pip install 'ddlcheck\[train\]', .*\n", done.stderr
    )


def test_without_an_mpi_library_it_is_one_sentence_and_status_2():
    done = train(MPI4PY_LIBMPI="/nonexistent/libmpi.so")
    assert (done.returncode, done.stdout) == (2, "")
    assert "mpi4py finds no MPI library" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--batch", "0"], ["--batch", "x"], ["--steps", "-1"], ["--rate", "nan"], ["--rate", "0"], ["--bach", "8"],
        ["--backend", "tensorflow"], ["more"], ["--json", "/nonexistent/report.json"],
    ],
)  # fmt: skip
def test_wrong_words_are_one_sentence_and_status_2(words):
    done = train(*words, "--no-scaling", "--steps", "1") if words[0] != "--steps" else train(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_rank_that_hangs_ends_the_job():
    """The last rank stops in its data set; the others would wait in the all-reduce for ever."""
    code = (
        "import os, sys, time\n"
        "from ddlcheck.train import digits, command\n"
        "load = digits.load\n"
        "digits.load = lambda: time.sleep(600) if os.environ['OMPI_COMM_WORLD_RANK'] == '1' else load()\n"
        "sys.exit(command.main(['--timeout', '4']))\n"
    )
    done = run([*real(4), "-n", "2", sys.executable, "-c", code])
    assert done.returncode == 3
    assert re.search(r"rank \d on \S+ did not end within 4 s", done.stderr)


def test_a_rank_whose_data_are_not_there_ends_all_with_its_sentence():
    code = (
        "import os, pathlib, sys\n"
        "from ddlcheck.train import digits, command\n"
        "load = digits.load\n"
        "where = pathlib.Path('/nonexistent' if os.environ['OMPI_COMM_WORLD_RANK'] == '1' else digits.FILE)\n"
        "digits.load = lambda: load(where)\n"
        "sys.exit(command.main(['--no-scaling']))\n"
    )
    done = run([*real(5), "-n", "2", sys.executable, "-c", code])
    assert done.returncode == 2
    assert "/nonexistent, the digits to train with, cannot be read" in done.stderr
