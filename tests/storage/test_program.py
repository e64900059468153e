"""Data sets on a node: whole or not there, proven to the last byte, and never taken from under who reads them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.program import Set, fill, flip, module


@pytest.fixture
def whole(tmp_path: Path) -> Set:
    it = Set(tmp_path)
    assert it.result("stage")["fetched"]
    return it


# ---- manifests


def test_a_manifest_is_sorted_says_every_file_and_is_the_same_twice(tmp_path: Path) -> None:
    it = Set(tmp_path)
    lines = it.text.splitlines()
    assert lines[0] == f"ddlcheck-manifest 1 60 {sum((it.source / n).stat().st_size for n in it.names)}"
    digest, size, path = lines[1].split(" ")
    name = path.replace("%20", " ")
    data = (it.source / name).read_bytes()
    assert (digest, int(size)) == (hashlib.sha256(data).hexdigest(), len(data))
    assert [line.split(" ")[2] for line in lines[1:]] == sorted(line.split(" ")[2] for line in lines[1:])
    assert module()["make"](str(it.source), jobs=3) == it.text


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in (b"caf\xe9", b"new\nline", b"per%cent", "größe".encode(), b"-rf", b" "):
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(name)
    it = Set(tmp_path)
    it.result("stage")
    assert it.differences("full") == {}
    assert {p.name for p in it.dest.iterdir()} == {p.name for p in source.iterdir()}


@pytest.mark.parametrize("kind", ["pipe", "dangling", "folder link", "empty"])
def test_what_is_no_file_is_no_part_of_a_data_set(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if kind != "empty":
        (source / "a").write_text("a")
    if kind == "pipe":
        os.mkfifo(source / "p")
    elif kind != "empty":
        (source / "l").symlink_to("/nowhere" if kind == "dangling" else "/usr")
    with pytest.raises(module()["Trouble"].__bases__[0], match=r"no file|neither"):
        Set(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-20], lambda t: t + "x\n", lambda t: t.replace("manifest 1", "manifest 2"), lambda t: "",
        lambda t: t.replace("c0/", "../"), lambda t: t.replace("c0/", "/etc/"), lambda t: t + t.splitlines()[-1] + "\n",
        lambda t: t.rstrip("\n"), lambda t: t.replace("c0", "é"),
    ],
)  # fmt: skip
def test_an_edited_manifest_is_refused(tmp_path: Path, change) -> None:
    space = module()
    with pytest.raises(space["Trouble"]):
        space["parse"](change(Set(tmp_path).text).encode())


def test_a_manifest_that_is_missing_or_another_one_is_said(whole: Set) -> None:
    whole.manifest.write_text(whole.text + "\n")
    assert "another one" in whole.run("quick")["error"]
    whole.manifest.unlink()
    assert whole.run("quick")["error"] == "the manifest is missing"


# ---- staging


def test_a_staged_set_is_a_link_to_a_folder_that_bears_its_version(whole: Set) -> None:
    assert str(whole.dest.readlink()) == f".set@{whole.digest[:16]}"
    assert whole.result("full")["found_files"] == 60
    again = whole.result("stage")
    assert (again["fetched"], again["mended"], again["switched"]) == (False, 0, False)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_is_unpacked_and_its_checksum_minded(tmp_path: Path, kind: str) -> None:
    it = Set(tmp_path)
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as z:
            for name in it.names:
                z.write(it.source / name, f"set-1.0/{name}")
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as t:
            t.add(it.source, "set-1.0")
            t.add(__file__, "set-1.0/not-in-the-manifest")
            t.add(__file__, "../../escaped")
    how = {"method": "archive", "source": str(path), "strip": 1}
    assert "another checksum" in it.run("stage", **how, checksum="0" * 64)["error"]
    it.result("stage", **how, checksum=hashlib.sha256(path.read_bytes()).hexdigest())
    assert it.differences("full") == {}
    assert not (tmp_path / "escaped").exists()


@pytest.mark.lab
def test_rsync_fetches_what_is_missing_and_only_that(tmp_path: Path) -> None:
    it = Set(tmp_path, method="rsync")
    (it.source / "stray").write_text("x")
    it.result("stage")
    assert it.differences("full") == {}


def test_a_source_that_is_not_what_the_manifest_says_never_becomes_visible(tmp_path: Path) -> None:
    it = Set(tmp_path)
    flip(it.source / it.names[3])
    said = it.run("stage")
    assert "1 content" in said["error"]
    assert it.names[3].replace(" ", "%20") in said["error"]
    (it.source / it.names[3]).unlink()
    assert "missing" in it.run("stage")["error"]
    assert not it.dest.is_symlink()


def test_too_little_room_is_said_before_anything_is_copied(tmp_path: Path) -> None:
    it = Set(tmp_path)
    space = module()
    places = space["Places"](it.spec)
    entries = {"a": ("0" * 64, 1 << 62)}
    with pytest.raises(space["Trouble"], match="MiB left"):
        space["enough"](places, entries, set())
    space["enough"](places, entries, {"a"})


def test_a_folder_that_was_not_staged_is_left_alone(tmp_path: Path) -> None:
    it = Set(tmp_path)
    it.dest.mkdir()
    (it.dest / "mine").write_text("precious")
    assert "was not staged" in it.run("stage")["error"]
    assert (it.dest / "mine").read_text() == "precious"


def test_a_new_version_does_not_disturb_who_reads_the_old_one(whole: Set) -> None:
    name = whole.names[1]
    before = (whole.dest / name).read_bytes()
    folder = whole.dest.resolve()
    with (whole.dest / name).open("rb") as reader:
        shutil.rmtree(whole.source)
        fill(whole.source, 20, 500, seed=2)
        new = Set(whole.folder)
        assert new.result("stage")["older"] == [f".set@{whole.digest[:16]}"]
        assert new.differences("full") == {}
        assert reader.read() == before
    assert (folder / name).read_bytes() == before
    assert whole.dest.resolve() != folder


def test_two_stagings_of_one_set_do_not_meet(tmp_path: Path) -> None:
    it = Set(tmp_path)
    import fcntl

    with (it.dest.parent / ".set.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another staging" in it.run("stage")["error"]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(moments=st.lists(st.floats(0, 0.15), min_size=1, max_size=2))
def test_staging_killed_at_any_moment_goes_on_and_is_never_seen_in_part(moments: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        it = Set(Path(folder), files=120, size=30000)
        kept: dict[str, int] = {}
        for moment in moments:
            child = subprocess.Popen(it.argv("stage"), stdout=subprocess.DEVNULL, start_new_session=True)
            # From when it is at work: Python itself may take longer to start than all of this.
            end = time.monotonic() + 60
            while child.poll() is None and not list(it.dest.parent.glob("*.part/*")) and time.monotonic() < end:
                time.sleep(0.001)
            time.sleep(moment)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(60)
            if it.dest.is_symlink():
                assert it.differences("full") == {}
            else:
                assert not it.dest.exists()
            part = next(it.dest.parent.glob("*.part"), it.dest)
            now = {name: (part / name).stat().st_ino for name in it.names if (part / name).exists()}
            # What was whole is not fetched again: the very same files are there.
            assert {name: now.get(name) for name in kept} == kept
            kept = now
        said = it.result("stage")
        assert said["files"] == 120
        assert it.differences("full") == {}
        assert {name: (it.dest / name).stat().st_ino for name in kept} == kept
        assert not list(it.dest.parent.glob("*.part"))


def test_too_little_room_is_said_of_a_whole_staging_before_a_byte_is_copied(tmp_path: Path) -> None:
    it = Set(tmp_path)
    lines = it.text.splitlines()
    size = 1 << 60
    text = f"ddlcheck-manifest 1 61 {int(lines[0].split()[3]) + size}\n" + "\n".join(
        sorted([*lines[1:], f"{'0' * 64} {size} zz/huge"], key=lambda line: line.split(" ")[2])
    )
    it.declare(f"{text}\n")
    assert "MiB left" in it.run("stage")["error"]
    assert [p for p in it.dest.parent.rglob("*") if p.is_file() and p.suffix not in (".manifest", ".lock")] == []


@pytest.mark.lab
def test_too_few_inodes_are_said_before_a_byte_is_copied(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=50", "few", str(tmp_path / "data")], check=True, timeout=60
    )
    try:
        it = Set(tmp_path)
        assert "inodes left, 60 are needed" in it.run("stage")["error"]
        assert not list(it.dest.parent.rglob("*.bin"))
    finally:
        subprocess.run(["umount", str(tmp_path / "data")], check=True, timeout=60)


def test_a_damaged_file_stays_until_a_proven_one_takes_its_place(whole: Set) -> None:
    name = whole.names[4]
    flip(whole.dest / name)
    damaged = (whole.dest / name).read_bytes()
    good = (whole.source / name).read_bytes()
    flip(whole.source / name)
    assert "could not be mended" in whole.run("stage")["error"]
    assert (whole.dest / name).read_bytes() == damaged
    (whole.source / name).write_bytes(good)
    stop = threading.Event()
    lost: list[str] = []

    def reader() -> None:
        while not stop.is_set():
            try:
                assert (whole.dest / name).read_bytes() in (damaged, good)
            except (OSError, AssertionError) as exc:
                lost.append(repr(exc))

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        assert whole.result("stage")["mended"] == 1
    finally:
        stop.set()
        thread.join(60)
    assert lost == []
    assert (whole.dest / name).read_bytes() == good
    assert not list(whole.dest.parent.glob("*.mend"))


def test_a_large_file_alone_is_seen_to_progress(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as f:
        f.truncate(1 << 40)  # all of it a hole
    space, read = module(), []

    def progress(size: int) -> None:
        read.append(size)
        if len(read) == 2:
            path.write_bytes(b"")  # whoever reads on finds its end
        assert len(read) < 60

    space["hash_all"](str(tmp_path), ["large"], lambda *_: None, progress, 1)
    assert 0 < read[0] < read[1]


# ---- what differs


def test_a_missing_file_is_named(whole: Set) -> None:
    (whole.dest / whole.names[5]).unlink()
    name = whole.names[5].replace(" ", "%20")
    for verb in ("quick", "full"):
        assert whole.differences(verb) == {"missing": {"count": 1, "first": [name]}}


def test_of_many_the_first_five_are_named(whole: Set) -> None:
    for name in whole.names[:9]:
        (whole.dest / name).unlink()
    found = whole.differences()["missing"]
    assert found["count"] == 9
    assert found["first"] == sorted(n.replace(" ", "%20") for n in whole.names[:9])[:5]


def test_a_flipped_bit_is_named_quickly_because_the_file_changed(whole: Set) -> None:
    flip(whole.dest / whole.names[7])
    said = whole.result("quick", sample=0)
    assert said["changed"] == 1
    assert said["differences"] == {"content": {"count": 1, "first": [whole.names[7].replace(" ", "%20")]}}


def test_a_bit_that_rotted_is_found_by_reading_everything(whole: Set) -> None:
    flip(whole.dest / whole.names[7])
    stamp = next(whole.dest.parent.glob("*.stamp"))
    stamp.write_text(json.dumps({"ctime_ns": time.time_ns() + 10**12}))  # as if nothing had changed since
    assert whole.differences("quick", sample=0) == {}
    assert whole.differences("full")["content"]["first"] == [whole.names[7].replace(" ", "%20")]


def test_an_extra_file_and_a_longer_one_are_named(whole: Set) -> None:
    (whole.dest / "c0" / "stray").write_text("x")
    with (whole.dest / whole.names[2]).open("ab") as f:
        f.write(b"x")
    assert whole.differences() == {
        "extra": {"count": 1, "first": ["c0/stray"]},
        "size": {"count": 1, "first": [whole.names[2].replace(" ", "%20")]},
    }


def test_another_owner_is_said(whole: Set) -> None:
    found = whole.differences(owner=str(os.getuid() + 1))["owner"]
    assert found["count"] == 60
    assert whole.differences(owner=str(os.getuid())) == {}
    assert "no user" in whole.run("quick", owner="nobody-like-that")["error"]


def test_a_spot_check_sees_what_it_meets(whole: Set) -> None:
    assert whole.differences(walk=False) == {}
    for name in whole.names:
        (whole.dest / name).unlink()
    assert whole.differences(walk=False)["missing"]["count"] == 60


def test_a_budget_that_is_too_small_says_that_not_all_was_looked_at(whole: Set) -> None:
    said = whole.result("quick", budget=1e-9)
    assert said["whole"] is False
    assert said["sampled"] == 0


def test_mending_replaces_what_is_damaged_puts_aside_what_is_foreign_and_disturbs_no_reader(whole: Set) -> None:
    missing, flipped, longer = (whole.dest / whole.names[i] for i in (1, 2, 3))
    before = flipped.read_bytes()
    flip(flipped)
    missing.unlink()
    longer.write_bytes(longer.read_bytes() + b"x")
    (whole.dest / "stray").write_text("mine")
    with flipped.open("rb") as reader:
        assert whole.result("stage")["mended"] == 4
        assert reader.read() != before
    assert flipped.read_bytes() == before
    assert whole.differences("full") == {}
    assert next(whole.dest.parent.glob("*.extra/stray")).read_text() == "mine"
    assert whole.result("stage")["mended"] == 0


# ---- parts


def test_parts_are_complete_and_disjoint_whatever_the_number_of_nodes(tmp_path: Path) -> None:
    space = module()
    entries = space["parse"](Set(tmp_path).text.encode())
    for count in (1, 2, 3, 7, 61):
        parts = [set(space["shard"](entries, index, count)) for index in range(count)]
        assert set().union(*parts) == set(entries)
        assert sum(map(len, parts)) == len(entries)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_node_holds_its_part_and_a_file_of_another_is_extra(tmp_path: Path) -> None:
    it = Set(tmp_path, index=1, count=3)
    assert it.result("stage")["files"] == 20
    said = it.result("quick")
    assert (said["found_files"], said["of_files"], said["differences"]) == (20, 60, {})
    other = next(name for name in it.names if not (it.dest / name).exists())
    (it.dest / other).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(it.source / other, it.dest / other)
    assert it.differences()["extra"]["first"] == [other.replace(" ", "%20")]
