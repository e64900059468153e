"""The acceptance job between nodes, launched as its page says: a directory that pip made, copied to every node."""

import concurrent.futures
import json
import re
import subprocess
import sys

import pytest

from tests.ddl.nodes import ROOT, at, must

pytestmark = pytest.mark.lab
COPY = "/opt/train"


@pytest.fixture(scope="module")
def copied(cluster, tmp_path_factory):
    """Put ddlcheck, numpy and mpi4py into a directory, and it onto every node."""
    lab, programs = cluster
    folder = tmp_path_factory.mktemp("train")
    version = must(lab, lab.nodes[0], "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = ["--no-deps", "--only-binary", ":all:", "--python-version", version]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder / "wheel"), str(ROOT)], check=True, timeout=300)
    (ours,) = (folder / "wheel").glob("ddlcheck-*.whl")
    target = folder / "target"
    subprocess.run(
        [*pip, "install", *wheels, "--target", str(target), str(ours), "numpy", "mpi4py"], check=True, timeout=300
    )
    archive = subprocess.run(["tar", "c", "-C", str(target), "."], capture_output=True, check=True).stdout
    with concurrent.futures.ThreadPoolExecutor(len(lab.nodes)) as pool:
        line = f"sudo mkdir -p {COPY}; sudo tar x -C {COPY}"
        list(pool.map(lambda node: must(lab, node, line, archive), lab.nodes))
    return lab, programs


def train(copied, major, words, options=""):
    lab, programs = copied
    line = f"launch --mpirun {programs[major]} {options} --env PYTHONPATH -- python3 -m ddlcheck.train {words}"
    return at(lab, lab.nodes[0], f"cd /tmp; PYTHONPATH={COPY}:/opt/ddl python3 -m ddlcheck {line}")


@pytest.mark.parametrize("major", [4, 5])
def test_learners_on_three_nodes_prove_it(copied, major):
    words = "--steps 30 --seconds 0.1 --json /tmp/report.json"
    code, out, err = train(copied, major, words, "-H ib1,ib2,ib3 --mode 1x1x3 --interface ib0")
    assert code == 0, err + out
    assert out.count("PASS") == 3
    report = json.loads(must(copied[0], copied[0].nodes[0], "cat /tmp/report.json"))
    assert report["library"].startswith(f"Open MPI v{major}.")
    assert (report["ranks"], report["hosts"]) == (3, ["minsky1", "minsky2", "minsky3"])
    assert (report["proven"], report["plan"]["batch"]) == (True, 240)
    assert [(one["ranks"], one["hosts"]) for one in report["scaling"]] == [(1, 1), (2, 2), (3, 3)]
    assert all(one["samples"] > 0 for one in report["scaling"])


def test_a_node_without_the_copy_is_named(copied):
    lab = copied[0]
    must(lab, lab.nodes[1], f"sudo mv {COPY}/mpi4py {COPY}/away")
    try:
        code, _, err = train(copied, 4, "--no-scaling", "-H ib1,ib2 --gpus 1")
    finally:
        must(lab, lab.nodes[1], f"sudo mv {COPY}/away {COPY}/mpi4py")
    assert code == 2
    assert re.search(r"^ddlcheck-train: there is no mpi4py on minsky2: pip install", err, re.MULTILINE)
    assert "ddlcheck: cause: Python on a node has no module mpi4py" in err


def test_other_data_on_one_node_are_found(copied):
    lab = copied[0]
    file = f"{COPY}/ddlcheck/train/digits.csv.gz"
    swap = 'python3 -c \'import gzip,sys; f=sys.argv[1]; t=gzip.open(f).read().replace(b"16",b"15",1); gzip.open(f,"w").write(t)\''
    must(lab, lab.nodes[1], f"sudo cp {file} {file}.kept; sudo {swap} {file}")
    try:
        code, out, _ = train(copied, 5, "--no-scaling", "-H ib1,ib2 --gpus 1")
    finally:
        must(lab, lab.nodes[1], f"sudo mv {file}.kept {file}")
    assert code == 1
    assert "FAIL  rank 1 reads other data" in out
