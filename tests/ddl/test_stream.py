"""Running a job: output, signals, status, log."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RUN = "import sys, pathlib; from ddlcheck.ddl import stream; sys.exit(stream.run(sys.argv[2:], pathlib.Path(sys.argv[1])))"


def start(log, *argv, **more):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(log), *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_status_is_the_job_s(tmp_path, script, code):
    job = start(tmp_path / "log", "/bin/sh", "-c", script)
    job.communicate(timeout=30)
    assert job.returncode == code


def test_both_streams_pass_and_stay_apart_and_the_log_has_both(tmp_path):
    job = start(tmp_path / "log", "/bin/sh", "-c", "echo out; echo err >&2")
    assert job.communicate(timeout=30) == ("out\n", "err\n")
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


def test_output_comes_as_it_is_made(tmp_path):
    job = start(tmp_path / "log", "/bin/sh", "-c", "echo first; sleep 60")
    assert job.stdout.readline() == "first\n"
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=30)


def test_what_a_job_leaves_behind_is_not_waited_for(tmp_path):
    job = start(tmp_path / "log", "/bin/sh", "-c", "sleep 20 & echo done; exit 4")
    began = time.monotonic()
    job.communicate(timeout=30)
    assert job.returncode == 4
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_job_once(tmp_path, number):
    script = f"trap 'echo got >> {tmp_path}/got; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    job = start(tmp_path / "log", "/bin/sh", "-c", script)
    assert job.stdout.readline() == "ready\n"
    job.send_signal(number)
    job.communicate(timeout=30)
    assert job.returncode == 5
    assert (tmp_path / "got").read_text() == "got\n"


def test_ctrl_c_for_the_whole_group_reaches_the_job_once(tmp_path):
    script = f"trap 'echo got >> {tmp_path}/got; sleep 1; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    job = start(tmp_path / "log", "/bin/sh", "-c", script, start_new_session=True)
    assert job.stdout.readline() == "ready\n"
    os.killpg(job.pid, signal.SIGINT)
    job.communicate(timeout=30)
    assert (job.returncode, (tmp_path / "got").read_text()) == (5, "got\n")


def test_a_reader_that_goes_away_ends_the_job(tmp_path):
    job = start(tmp_path / "log", "/bin/sh", "-c", "while :; do echo more; sleep 0.05; done")
    job.stdout.readline()
    job.stdout.close()
    job.stderr.close()
    began = time.monotonic()
    assert job.wait(30) == 143
    assert time.monotonic() - began < 20


def test_the_job_reads_our_stdin(tmp_path):
    job = start(tmp_path / "log", "cat", stdin=subprocess.PIPE)
    assert job.communicate("words", timeout=30)[0] == "words"
