"""Data sets: what the nodes' program says of them, judged; the program itself is tried in tests/storage."""

from __future__ import annotations

import copy

import pytest

from ddlcheck import run
from ddlcheck.checks import dataset
from ddlcheck.intent import Intent
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE

DIGEST = "ab" * 32
# What roles/dataset/files/dataset.py says of a set that is whole, of 200 files.
WHOLE = {
    "state": "", "ms": 25.1, "there": "link", "target": ".digits@abababababababab", "current": True, "files": 200,
    "of_files": 200, "bytes": 4000000, "found_bytes": 4000000, "found_files": 200, "whole": True, "looked": 200,
    "changed": 0, "sampled": 16, "unproven": 0, "differences": {}, "seconds": 0.02,
}  # fmt: skip
NODES = ["n1", "n2", "n3"]


def entry(**more):
    return {"name": "digits", "dest": "/data/digits", "digest": DIGEST, "method": "copy", "source": "/x", **more}


class Site:
    def __init__(self, *sets, nodes=NODES):
        values = {"dataset_sets": list(sets), "dataset_budget": 2.0, "dataset_sample": 16}
        kept = dict.fromkeys(nodes, values)
        self.intents = {node: Intent(node, values, kept) for node in nodes}
        self.seen = {
            node: {
                f"dataset {e['name']}": Answer(data=copy.deepcopy(WHOLE)) for e in dataset.declared(self.intents[node])
            }
            for node in nodes
        }

    def put(self, node="n1", **changed):
        self.seen[node]["dataset digits"].data.update(changed)
        return self

    def judge(self, node="n1"):
        return run._one("dataset", dataset, node, self.seen[node], self.intents[node])

    def together(self):
        return run._together("dataset", dataset, self.seen, self.intents)


def test_a_set_that_is_as_its_manifest_says_passes():
    verdict = Site(entry()).judge()
    assert (verdict.status, verdict.evidence["digits"]["sampled"]) == (Status.PASS, 16)
    assert "200 files" in verdict.seen


def test_nothing_declared_is_skipped_and_asks_for_nothing():
    site = Site()
    assert dataset.wants(site.intents["n1"]) == {}
    assert (site.judge().status, "nothing declared" in site.judge().seen) == (Status.SKIP, True)
    assert [v.status for v in site.together()] == [Status.SKIP]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "missing"), ("extra", "do not belong there"), ("size", "another size"), ("content", "other bytes"),
        ("unreadable", "cannot be read"), ("owner", "another owner"),
    ],
)  # fmt: skip
def test_a_difference_says_how_many_and_the_first_five(kind, words):
    first = [f"a/{i}" for i in range(5)]
    verdict = Site(entry()).put(differences={kind: {"count": 9, "first": first}}).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "dataset")
    assert words in verdict.seen
    assert "digits: 9 files" in verdict.seen
    assert verdict.seen.endswith("a/0, a/1, a/2, a/3, a/4, …")
    assert "a/0" in verdict.cause


def test_one_file_is_said_as_one():
    verdict = Site(entry()).put(differences={"extra": {"count": 1, "first": ["0/stray"]}}).judge()
    assert verdict.seen == "digits: 1 file that does not belong there: 0/stray"
    assert verdict.cause.endswith("not what its manifest says: 1 file that does not belong there (first 0/stray)")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"there": "nothing"}, "is not there"),
        ({"there": "dangling"}, "leads to nothing"),
        ({"there": "folder"}, "a folder of its own"),
        ({"current": False, "target": ".digits@0000"}, "leads to .digits@0000"),
        ({"trouble": "the manifest is missing"}, "the manifest is missing"),
        ({"trouble": "the manifest is another one: …"}, "another one"),
    ],
)
def test_a_set_that_is_not_there_as_declared_fails(changed, words):
    verdict = Site(entry()).put(**changed).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "dataset")
    assert words in verdict.seen


def test_a_set_that_nobody_stages_may_be_a_folder_and_is_not_the_role_s_to_mend():
    site = Site(entry(method="none"))
    assert site.put(there="folder").judge().status is Status.PASS
    assert site.put(differences={"missing": {"count": 1, "first": ["a"]}}).judge().remedy == "inspect"


@pytest.mark.parametrize("state", ["late", "hung", "stuck"])
def test_a_file_system_that_does_not_answer_is_hung(state):
    site = Site(entry())
    site.seen["n1"]["dataset digits"] = Answer(data={"state": state, "pid": 7})
    assert (site.judge().status, "HUNG" in site.judge().seen) == (Status.FAIL, True)


@pytest.mark.parametrize("changed", [{"unproven": 3, "changed": 5}, {"whole": False, "looked": 50}])
def test_what_there_was_no_time_for_is_a_warning_that_names_the_way(changed):
    verdict = Site(entry()).put(**changed).judge()
    assert verdict.status is Status.WARN
    assert "--full" in verdict.cause


def test_a_user_who_is_not_there_or_nothing_looked_at_is_unknown():
    assert Site(entry()).put(trouble="there is no user ddl here").judge().status is Status.UNKNOWN
    assert Site(entry()).put(looked=0, whole=False).judge().status is Status.UNKNOWN


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_never_a_pass(garbage):
    site = Site(entry())
    site.seen["n1"]["dataset digits"] = garbage
    assert site.judge().status in (Status.UNKNOWN, Status.FAIL)


@pytest.mark.parametrize(
    "differences",
    [None, 7, {"missing": 7}, {"missing": {"count": "x", "first": []}}, {"size": {"count": 2, "first": []}}],
)
def test_a_comparison_of_another_form_is_never_a_pass(differences):
    assert Site(entry()).put(differences=differences).judge().status is Status.UNKNOWN


# ---- who looks at what


def test_one_copy_for_all_is_walked_by_one_node_only():
    site = Site(entry(mode="shared"))
    assert [dataset.spec(site.intents[n], entry(mode="shared"))["walk"] for n in NODES] == [True, False, False]
    assert all(dataset.spec(site.intents[n], entry())["walk"] for n in NODES)


PARTED = entry(mode="partitioned", nodes=["n2", "n3"])


def parted(**changed):
    site = Site(PARTED)
    for node in ("n2", "n3"):
        site.put(node, files=100, found_files=100, looked=100, **changed)
    return site


def test_a_node_that_holds_no_part_is_not_asked():
    site = parted()
    assert dataset.wants(site.intents["n1"]) == {}
    assert site.judge("n1").status is Status.SKIP
    assert [(s["index"], s["count"]) for s in (dataset.spec(site.intents[n], PARTED) for n in ("n2", "n3"))] == [
        (0, 2),
        (1, 2),
    ]


def test_parts_that_are_the_whole_pass():
    (verdict,) = parted().together()
    assert (verdict.status, verdict.nodes) == (Status.PASS, ("n2", "n3"))
    assert "none twice" in verdict.seen


@pytest.mark.parametrize(("files", "of"), [(99, 200), (101, 200), (100, 300)])
def test_parts_that_are_more_or_less_than_the_whole_fail(files, of):
    (verdict,) = parted(of_files=of).put("n3", found_files=files).together()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "dataset")


def test_a_damaged_part_is_named():
    (verdict,) = parted().put("n3", differences={"extra": {"count": 1, "first": ["a"]}}).together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("n3",))


def test_without_one_part_nobody_knows():
    site = parted()
    del site.seen["n3"]
    (verdict,) = site.together()
    assert (verdict.status, "n3" in verdict.cause) == (Status.UNKNOWN, True)
