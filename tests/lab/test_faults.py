"""Every fault: put into one node, seen as exactly that promise on exactly that node, mended, seen no more.

Faults that cannot disturb each other share a round, each on a node of its own: one look, one run of the roles,
one look again. Names of hosts, the mesh and silent nodes are seen from every other node, so a round has at most
one of those.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab.cluster import Lab
from ddlcheck.lab.faults import EVERY, FAULTS, Fault, table
from ddlcheck.lab.nodes import Node

TREE = Path(__file__).parents[2]
#: What only a run of MPI shows has tests of its own: tests/fabric/test_lab.py.
SEEN = [name for name, fault in FAULTS.items() if fault.promise != "fabric"]
SEEN_BY_ALL = {"ssh_mesh"}
#: Nodes write for each other, so what all of them answer belongs to one fault: one of these to a round.
EXCHANGED = {"nfs"}
COMPARED = {"hostname", "openmpi", "clock", *EXCHANGED}
#: Where to keep what each broken node said (tests/machines/faults), when it is to be captured anew.
CAPTURE = os.environ.get("DDLCHECK_CAPTURE", "")


def far(fault: Fault) -> bool:
    """Whether other nodes' verdicts can change by it."""
    return fault.promise == EVERY or fault.on == "nodes" or bool(SEEN_BY_ALL & {fault.promise, *fault.allowed})


def rounds(names: list[str], size: int) -> list[list[Fault]]:
    """Deal the faults out: at most one to a node and one that reaches far to a round."""
    left, out = [FAULTS[name] for name in names], []
    while left:
        chosen: list[Fault] = []
        for fault in list(left):
            crowded = any(far(f) for f in chosen) and far(fault)
            # Two of one promise would hide each other where nodes are compared by majority.
            alike = any(f.promise == fault.promise and (far(f) or far(fault) or f.promise in COMPARED) for f in chosen)
            if len(chosen) < size - 1 and not crowded and not alike:
                chosen.append(fault)
                left.remove(fault)
        out.append(chosen)
    return out


def look(lab: Lab, folder: Path) -> list[dict]:
    """Run the command a user would run; return its verdicts."""
    report = folder / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "ddlcheck", "cluster", str(lab.inventory), "--skip", "fabric", "--timeout", "25",
         "--json", str(report), "--save", str(folder / "saved")],
        cwd=TREE, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert report.exists(), done.stderr + done.stdout
    return json.loads(report.read_text())["verdicts"]


def bad(verdicts: list[dict]) -> list[dict]:
    """Return what is not in order; that a busy machine answered too late to compare clocks is not a fault."""
    return [
        v for v in verdicts
        if v["status"] in ("FAIL", "UNKNOWN", "WARN") and not (v["promise"] == "clock" and v["remedy"] == "wait")
    ]  # fmt: skip


def settle(lab: Lab, folder: Path) -> list[dict]:
    """Look until all is well; a daemon that was just restarted needs a moment to choose its server."""
    for _ in range(3):
        left = bad(look(lab, folder))
        if not left:
            break
        time.sleep(3)
    return left


def apply(lab: Lab, roles: list[str]) -> None:
    """Run the roles the verdicts named, over the whole cluster, as a user would."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(lab.inventory), "site.yml", "--tags", ",".join(roles)],
        cwd=TREE, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def problems(fault: Fault, node: str, verdicts: list[dict], excused: set[str]) -> list[str]:
    """Say what is not as the fault promises: its own verdict, and others that do not follow from it."""
    mine = [v for v in bad(verdicts) if node in v["nodes"]]
    hit = [
        v for v in mine
        if v["promise"] == fault.promise and v["status"] == fault.status and re.search(fault.cause, f"{v['cause']} | {v['seen']}")
    ]  # fmt: skip
    out = []
    if fault.promise == EVERY:
        promises = {v["promise"] for v in verdicts}
        known = promises - {
            v["promise"] for v in mine if v["status"] == "UNKNOWN" and re.search(fault.cause, v["cause"])
        }
        return [f"{fault.name}: {sorted(known)} are not unknown because of it"] if known else []
    if not hit:
        out.append(
            f"{fault.name}: no such verdict on {node}: {[(v['promise'], v['status'], v['cause'], v['seen']) for v in mine]}"
        )
    elif fault.remedy and hit[0]["remedy"] != fault.remedy:
        out.append(f"{fault.name}: remedy is {hit[0]['remedy']}, not {fault.remedy}")
    others = [v for v in mine if v["promise"] not in {fault.promise} | fault.allowed | excused]
    out += [f"{fault.name}: {v['promise']} is {v['status']} too: {v['cause']} ({v['seen']})" for v in others]
    return out


def answers(folder: Path, promise: str) -> dict[str, dict[str, dict]]:
    """Return what a check was given, by node and the check's own names for it."""
    from ddlcheck import checks, wants
    from ddlcheck.intent import Intent

    kept = json.loads((folder / "saved" / "intent.json").read_text())["nodes"]
    out = {}
    for node in kept:
        got = json.loads((folder / "saved" / "seen" / f"{node}.json").read_text()).get("answers", {})
        asked = checks.load([promise])[promise].wants(Intent(node, kept[node], kept))
        out[node] = {name: got[key] for name, want in asked.items() if (key := wants.key(want)) in got}
    return out


def capture(round_: list[tuple[Fault, str]], whole: Path, broken: Path) -> None:
    """Keep the answers by which each node differs from itself when it was ready."""
    for fault, node in round_:
        if fault.promise == EVERY:
            continue
        before, after = (answers(folder, fault.promise) for folder in (whole, broken))
        changed = {
            name: {want: got for want, got in seen.items() if still(got) != still(before[name].get(want, {}))}
            for name, seen in after.items() if name == node or far(fault) or fault.promise in EXCHANGED
        }  # fmt: skip
        target = Path(CAPTURE) / f"{fault.name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"node": node, "seen": changed}, indent=1, sort_keys=True) + "\n")


def still(value: object) -> object:
    """Return an answer without what differs from one look to the next."""
    if isinstance(value, dict):
        return {key: still(v) for key, v in value.items() if key not in ("ms", "after", "before", "node")}
    return value


def play(lab: Lab, placed: list[tuple[Fault, Node]], whole: Path, broken: Path, mended: Path) -> dict[str, list[str]]:
    """Break, look, mend, look again; return what was wrong, by fault."""
    out: dict[str, list[str]] = {fault.name: [] for fault, _ in placed}
    try:
        for fault, node in placed:
            fault.inject(node)
        verdicts = look(lab, broken)
        spill = set().union(*(f.allowed | {f.promise} for f, _ in placed if far(f)))
        for fault, node in placed:
            out[fault.name] += problems(fault, node.name, verdicts, spill if not far(fault) else set())
        if CAPTURE:
            capture([(f, n.name) for f, n in placed], whole, broken)
        for fault, node in placed:
            if not fault.remedy:
                fault.heal(node)
        roles = sorted({fault.remedy for fault, _ in placed if fault.remedy})
        if roles:
            apply(lab, roles)
        after = settle(lab, mended)
    finally:
        for fault, node in placed:
            fault.heal(node)  # takes away what was put aside; changes nothing that is whole
    for fault, node in placed:
        left = [v for v in after if node.name in v["nodes"]]
        out[fault.name] += [f"{fault.name}: not mended: {v['promise']}: {v['cause']} ({v['seen']})" for v in left]
    return out


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, ready: Lab, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Play all rounds that were asked for; return what was wrong, by fault."""
    asked = [item for item in request.session.items if "matrix" in getattr(item, "fixturenames", ())]
    out: dict[str, list[str]] = {}
    begun = time.monotonic()
    whole = tmp_path_factory.mktemp("ready")
    assert settle(ready, whole) == [], "the cluster is not ready to begin with"
    for chosen in rounds([item.callspec.params["name"] for item in asked], ready.size):
        # The first node serves the time and is everybody's peer; it stays whole.
        placed = list(zip(chosen, ready.nodes[1:], strict=False))
        broken, mended = tmp_path_factory.mktemp("broken"), tmp_path_factory.mktemp("mended")
        try:
            out.update(play(ready, placed, whole, broken, mended))
        except (AssertionError, DdlcheckError, subprocess.TimeoutExpired) as lost:
            out.update({fault.name: [f"the round was lost: {lost}"] for fault in chosen})
        sys.stderr.write(f"{time.monotonic() - begun:.0f} s: {[x for f in chosen for x in out[f.name]]}\n")
    return out


@pytest.mark.lab
@pytest.mark.parametrize("name", SEEN)
def test_a_fault_breaks_its_promise_on_its_node_and_the_remedy_mends_it(name, matrix):
    assert matrix[name] == []


def test_there_are_at_least_twenty_two_faults_and_each_names_a_check_that_exists():
    from ddlcheck import checks

    assert len(FAULTS) >= 22
    assert {fault.promise for fault in FAULTS.values()} <= {*checks.names(), EVERY}
    assert all(fault.allowed <= set(checks.names()) for fault in FAULTS.values())


def test_a_fault_says_in_its_name_and_title_what_happened():
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) and name == fault.name for name, fault in FAULTS.items())
    assert all(fault.title and not fault.title.endswith(".") for fault in FAULTS.values())


def test_every_cause_is_a_pattern_that_does_not_match_everything():
    assert all(not re.search(fault.cause, "") for fault in FAULTS.values())


def test_no_round_has_two_faults_that_could_disturb_each_other():
    dealt = rounds(SEEN, 4)
    assert sorted(f.name for round_ in dealt for f in round_) == sorted(SEEN)
    assert all(sum(map(far, round_)) <= 1 and len(round_) <= 3 for round_ in dealt)


def test_the_table_of_faults_in_the_docs_is_the_generated_one():
    assert (TREE / "docs" / "faults.md").read_text(encoding="utf-8") == table()
