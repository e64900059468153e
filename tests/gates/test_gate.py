"""The gate as it is run: what it says, when it cannot tell, and that nothing holds it."""

from __future__ import annotations

import concurrent.futures
import json
import os
import time
from pathlib import Path

import pytest

from ddlcheck.gates import background, nagios, node, textfile
from ddlcheck.gates.result import Result
from ddlcheck.verdict import Status, Verdict
from tests.gates.conftest import HOST, gate, verdicts

FAST = "hostname,resources"


@pytest.fixture
def ready(kept):
    """An intent file that this machine fulfils, of promises that need no background tier."""
    return kept(
        only=["resources"],
        resources_filesystems=[{"path": "/", "free_min": 1}],
        resources_files=[{"path": "/etc/passwd"}],
    )


def test_ready_is_one_line(launcher, ready):
    done = gate(launcher, "--intent", ready, "--status", "")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert done.stdout.startswith(f"READY {HOST}: resources")


def test_every_trouble_is_one_line(launcher, kept):
    path = kept(
        only=["resources", "hostname"],
        resources_files=[{"path": "/nowhere/x"}],
        hostname_fabric_name="other",
        hostname_policy="ib",
    )
    done = gate(launcher, "--intent", path, "--status", "")
    assert done.returncode == 1
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == [
        f"FAIL {HOST} hostname",
        f"FAIL {HOST} resources",
    ]


def test_the_verdict_is_kept_and_a_part_of_it_is_not(launcher, ready, tmp_path):
    path = tmp_path / "run" / "status.json"
    gate(launcher, "--intent", ready, "--status", str(path), "--only", "resources")
    assert not path.exists()
    gate(launcher, "--intent", ready, "--status", str(path), "--quiet")
    assert json.loads(path.read_text())["exit"] == 0


@pytest.mark.parametrize("how", ["missing", "cut", "for another", "a folder"])
def test_an_intent_that_cannot_be_used_is_no_yes_in_any_form(launcher, kept, tmp_path, how):
    path = {"missing": lambda: str(tmp_path / "none"), "cut": lambda: kept(b'{"hash":"'), "a folder": lambda: str(tmp_path),
            "for another": lambda: kept(node="elsewhere")}[how]()  # fmt: skip
    state = tmp_path / "run" / "status.json"
    done = gate(launcher, "--intent", path, "--status", str(state))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert json.loads(state.read_text())["exit"] == 2
    assert gate(launcher, "--intent", path, "--status", "", "--nagios").returncode == 3
    assert gate(launcher, "--intent", path, "--status", "", "--json").returncode == 2
    assert (
        gate(
            launcher, "--intent", path, "--status", "", "--background", "--results", str(tmp_path / "run" / "b")
        ).returncode
        == 2
    )


@pytest.mark.parametrize(("words", "says"), [
    (["--intend", "x"], "no option '--intend'"), (["--timeout", "nan"], "from 0.1 to 3600"), (["--timeout"], "wants a value"),
    (["--json=yes"], "takes no value"), (["--only", "memlok"], "promises no 'memlok'"), (["--skip", "resources"], "leave nothing"),
])  # fmt: skip
def test_a_typing_error_is_one_sentence(launcher, ready, words, says):
    done = gate(launcher, "--intent", ready, "--status", "", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_help_and_version(launcher):
    assert "usage: ddlcheck-node" in gate(launcher, "--help").stdout
    assert gate(launcher, "--version").stdout.startswith("ddlcheck ")


def test_slow_probes_are_unknown_until_the_background_tier_looked_and_when_it_is_late(launcher, kept, tmp_path):
    path = kept(
        only=["resources"], resources_commands=[{"run": ["echo", "fine"], "output": ["fine"]}], health_gate_max_age=100
    )
    results = str(tmp_path / "run" / "background.json")
    words = ["--intent", path, "--status", "", "--results", results, "--json"]
    assert gate(launcher, *words).returncode == 3
    done = gate(launcher, *words, "--background")
    assert done.returncode == 0, done.stdout + done.stderr
    assert gate(launcher, *words).returncode == 0
    with open(results, encoding="ascii") as file:
        body = json.load(file)
    for change in (
        {"since_boot": body["since_boot"] - 200},
        {"boot": "x"},
        {"declared": "x"},
        {"answers": {}},
        {"version": 0},
        {"answers": 7},
    ):
        with open(results, "w", encoding="ascii") as file:
            file.write(json.dumps({**body, **change}) + "\n")
        assert verdicts(gate(launcher, *words))["resources"]["status"] == "UNKNOWN", change


def test_whole_checks_of_the_background_tier_are_read_with_their_age(launcher, kept, tmp_path):
    path = kept(only=["clock", "resources"], resources_files=[{"path": "/"}])
    words = ["--intent", path, "--status", "", "--results", str(tmp_path / "run" / "b.json"), "--json"]
    before = verdicts(gate(launcher, *words))["clock"]
    assert (before["status"], before["remedy"]) == ("UNKNOWN", "health_gate")
    after = verdicts(gate(launcher, *words, "--background"))["clock"]
    assert after["evidence"].get("age_s", 0) < 60
    assert after["seen"] != before["seen"]


def test_now_asks_at_once_and_keeps_nothing(launcher, kept, tmp_path):
    path = kept(only=["resources"], resources_commands=[{"run": ["echo", "fine"]}])
    done = gate(launcher, "--intent", path, "--status", "", "--results", str(tmp_path / "run" / "b.json"), "--now")
    assert done.returncode == 0
    assert not (tmp_path / "run").exists()


def hanging(monkeypatch, kept):
    """Make one look hang for ever, in the process that judges."""
    from ddlcheck.probes import quick

    monkeypatch.setattr(quick, "space_of", lambda _path: time.sleep(600))
    monkeypatch.setattr("ddlcheck.gates.look._OPS", {"space": lambda _want: time.sleep(600)})
    return kept(only=["resources", "hostname"], resources_filesystems=[{"path": "/", "free_min": 1}])


def test_what_hangs_is_unknown_and_named_and_what_was_judged_before_is_kept(monkeypatch, kept):
    path = hanging(monkeypatch, kept)
    begun = time.monotonic()
    result = node.verdicts(path, 1.0)
    assert time.monotonic() - begun < 10
    assert result.exit == 3
    found = {v.promise: v for v in result.verdicts}
    assert "no answer within 1 s" in found["resources"].seen
    assert found["hostname"].promise == "hostname"


def test_a_file_system_that_hangs_is_left_behind_and_the_others_are_judged(monkeypatch, kept):
    from ddlcheck.gates import look
    from ddlcheck.probes import quick

    real = quick.stat_of
    monkeypatch.setattr(look, "PATIENCE", 0.5)
    monkeypatch.setattr(look, "is_remote", lambda path: path == "/")
    slow = look._paths(lambda path: time.sleep(600) if path == "/" else real(path))
    monkeypatch.setattr(look, "_OPS", {**look._OPS, "stat": slow})
    path = kept(only=["resources"], resources_files=[{"path": "/"}, {"path": "/nowhere"}])
    begun = time.monotonic()
    result = node.verdicts(path, 30.0)
    assert time.monotonic() - begun < 15
    (verdict,) = result.verdicts
    assert verdict.status is Status.FAIL
    assert verdict.evidence["troubles"] == [
        "/ hangs: / did not answer within 0.5 s: the file system hangs",
        "there is no /nowhere",
    ]


def test_a_judge_that_crashes_is_unknown(monkeypatch, kept):
    from ddlcheck.checks import hostname

    monkeypatch.setattr(hostname, "judge", lambda _seen, _intent: 1 / 0)
    result = node.verdicts(kept(only=["hostname"]), 20)
    assert (result.exit, "ZeroDivisionError" in result.verdicts[0].seen) == (3, True)


def test_a_gate_that_is_killed_says_unknown(monkeypatch, kept):
    from ddlcheck.checks import hostname

    monkeypatch.setattr(hostname, "judge", lambda _seen, _intent: os._exit(7))
    result = node.verdicts(kept(only=["hostname"]), 20)
    assert result.exit == 3
    assert result.verdicts[0].status is Status.UNKNOWN


def test_a_check_that_is_not_installed_is_unknown(kept):
    from tests.gates.conftest import made
    from tests.gates.test_promised import resealed

    data = resealed(made(only=["hostname"]), b'"gate":["hostname"]', b'"gate":["hostname","levitation"]')
    found = {v.promise: v for v in node.verdicts(kept(data), 20).verdicts}
    assert (found["levitation"].status, found["levitation"].remedy) == (Status.UNKNOWN, "health_gate")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_gets_a_verdict_too_and_what_he_cannot_see_is_unknown(launcher, kept, tmp_path, place):
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    path = kept(only=["resources"], resources_files=[{"path": str(secret / "key")}])
    for folder in (place, launcher.parent, *launcher.parents[1:3], tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    import subprocess

    done = subprocess.run(
        ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", str(launcher), "--intent", path, "--json"],
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "denied" in verdicts(done)["resources"]["seen"]


def test_many_gates_at_once_all_answer_right(launcher, kept, tmp_path):
    """A busy prolog; bench/node.py --busy 500 measures the same with 500."""
    path = kept(
        only=["resources", "hostname"],
        resources_files=[{"path": "/etc/passwd"}, {"path": "/nowhere"}],
        hostname_policy="keep",
    )
    state = str(tmp_path / "run" / "status.json")
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        runs = [
            pool.submit(gate, launcher, "--intent", path, "--status", state, "--json", "--timeout", "100", timeout=240)
            for _ in range(60)
        ]
        done = [run.result() for run in runs]
    assert {run.returncode for run in done} == {1}
    assert {tuple(sorted((p, v["status"]) for p, v in verdicts(run).items())) for run in done} == {
        (("hostname", "PASS"), ("resources", "FAIL"))
    }
    assert json.loads(Path(state).read_text())["exit"] == 1


# ---- other forms of the same verdict


def result(*verdicts, **more):
    return Result(
        "n1", [Verdict(s, seen, cause=cause, promise=p, nodes=("n1",)) for s, p, seen, cause in verdicts], **more
    )


OK = (Status.PASS, "memlock", "unlimited", "")
LOW = (Status.FAIL, "memlock", "64 KiB", "a | b")
DARK = (Status.UNKNOWN, "clock", "deadline", "x")
ODD = (Status.WARN, "hostname", "n1", "cloud-init")


@pytest.mark.parametrize(("found", "status", "word"), [
    (result(OK), 0, "OK"), (result(OK, ODD), 1, "WARNING"), (result(OK, LOW), 2, "CRITICAL"), (result(OK, DARK), 3, "UNKNOWN"),
    (result(refused="no intent"), 3, "UNKNOWN"), (result(), 3, "UNKNOWN"),
])  # fmt: skip
def test_a_monitoring_plugin_s_statuses(found, status, word):
    line = nagios.render(found)
    assert nagios.exit_status(found) == status
    assert line.startswith(f"DDLCHECK {word} - ")
    assert (line.count("\n"), line.count("|")) == (1, 1)


def test_the_textfile_says_every_promise_in_every_status():
    lines = textfile.render(result(OK, LOW, DARK), 5.0).splitlines()
    assert 'ddlcheck_promise{promise="memlock",status="fail"} 1' in lines
    assert 'ddlcheck_promise{promise="memlock",status="pass"} 0' in lines
    assert 'ddlcheck_promise{promise="clock",status="unknown"} 1' in lines
    assert "ddlcheck_exit 1" in lines
    assert sum(line.endswith(" 1") for line in lines if line.startswith("ddlcheck_promise")) == 2


def test_a_reason_for_a_scheduler_is_one_short_line():
    found = result(OK, LOW, DARK, ODD)
    assert found.reason() == "memlock,clock FAIL: a | b"
    assert len(result((Status.FAIL, "x", "s\n", "y" * 999)).reason(80)) == 80
    assert result(OK, ODD).reason() == ""
    assert result(refused="a\nb").reason() == "a b"
    assert result().reason() == "nothing was judged"


def test_the_background_tier_asks_each_want_once(kept):
    from ddlcheck.gates import promised

    found = promised.load(kept(only=["resources"], resources_commands=[{"run": ["echo", "x"]}, {"run": ["echo", "x"]}]))
    verdicts_, answers = background.gather(found, 20)
    assert (verdicts_, [a.text for a in answers.values()]) == ([], ["x\n"])
