"""Metrics that the node exporter's textfile collector takes, and what the fabric adds to every form."""

from __future__ import annotations

import json as json_
import pathlib
import re
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np

from ddlcheck.cli import main
from ddlcheck.judging import outliers
from ddlcheck.judging.blame import judge
from ddlcheck.judging.matrix import Matrix
from ddlcheck.report import Result, json, junit, prometheus
from ddlcheck.verdict import Status, Verdict

LINE = re.compile(r'[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? -?[0-9][0-9.e+-]*')


def matrix(n=6, slow=2):
    table = np.full((n, n), 12000.0)
    table[slow, :] = table[:, slow] = 3000
    np.fill_diagonal(table, np.nan)
    latency = np.full((n, n), 1.5)
    np.fill_diagonal(latency, np.nan)
    return Matrix([f"n{i}" for i in range(n)], bandwidth=table, latency=latency)


def result(found, more=()):
    verdicts = [*judge(found, outliers.find(found)), *more]
    for verdict in verdicts:
        verdict.promise = verdict.promise or "fabric"
    promises = {v.promise: "It holds." for v in verdicts}
    return Result("inv", found.nodes, promises, verdicts, 1e9, 2.5, fabric=found)


def values(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_every_line_is_a_sample_and_every_metric_has_its_help_and_type_once():
    text = prometheus.render(result(matrix()))
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#"))
    names = {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")}
    for kind in ("HELP", "TYPE"):
        assert sorted(line.split()[2] for line in lines if line.startswith(f"# {kind}")) == sorted(names)
    samples = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(set(samples)) == len(samples)


def test_a_node_has_its_worst_status_and_the_culprit_its_ratio():
    found = values(prometheus.render(result(matrix())))
    assert found["ddlcheck_exit_status"] == "1"
    assert found['ddlcheck_promise_status{promise="fabric",node="n2"}'] == "4"
    assert found['ddlcheck_promise_status{promise="fabric",node="n1"}'] == "1"
    assert float(found['ddlcheck_fabric_culprit_ratio{kind="node",nodes="n2",metric="bandwidth"}']) == 0.25


def test_figures_are_in_seconds_and_bytes():
    found = values(prometheus.render(result(matrix())))
    assert float(found['ddlcheck_fabric_latency_seconds{node="n1"}']) == 1.5e-6
    assert float(found['ddlcheck_fabric_bandwidth_bytes_per_second{node="n1",direction="send"}']) == 12e9
    assert float(found['ddlcheck_fabric_bandwidth_bytes_per_second{node="n2",direction="receive"}']) == 3e9


def test_a_name_cannot_end_its_label():
    odd = Verdict(Status.FAIL, "x", promise="clock", nodes=('a"b\\c\nd',))
    text = prometheus.render(Result("inv", odd.nodes, {"clock": "x"}, [odd], 1e9, 1))
    assert 'node="a\\"b\\\\c\\nd"' in text
    assert all(LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))


def test_json_holds_each_nodes_figures_and_every_pair_of_a_small_cluster():
    schema = json_.loads((pathlib.Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
    small, large = (json_.loads(json.render(result(matrix(n)))) for n in (6, 65))
    for body in (small, large):
        jsonschema.validate(body, schema)
        assert body["fabric"]["medians"]["n1"] == {"latency_us": 1.5, "send_MBps": 12000.0, "receive_MBps": 12000.0}
    assert small["fabric"]["pairs"]["bandwidth_MBps"][0][2] == 3000
    assert "pairs" not in large["fabric"]


def test_junit_holds_what_is_typical_and_each_culprit():
    root = ET.fromstring(junit.render(result(matrix())))
    found = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert found["typical bandwidth all"] == "12000"
    assert found["node n2 bandwidth"] == "0.25"


def test_a_node_that_was_never_measured_has_no_figure():
    found = matrix()
    for table in (found.bandwidth, found.latency):
        table[4, :] = table[:, 4] = np.nan
    text = prometheus.render(result(found))
    assert 'node="n3",direction' in text
    assert 'node="n4",direction' not in text


def test_the_command_line_writes_it_whole_beside_the_others(tmp_path, capsys):
    (tmp_path / "m").write_text(json_.dumps(matrix().to_json()))
    words = ["fabric", "--from-matrix", tmp_path / "m", "--prometheus", tmp_path / "ddlcheck.prom"]
    assert main([str(word) for word in words]) == 1
    assert values((tmp_path / "ddlcheck.prom").read_text())["ddlcheck_exit_status"] == "1"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    capsys.readouterr()
    assert main(["fabric", "--from-matrix", str(tmp_path / "m"), "--prometheus", "-"]) == 1
    assert capsys.readouterr().out.startswith("# HELP ddlcheck_exit_status")
    assert main(["fabric", "--from-matrix", str(tmp_path / "m"), "--prometheus", str(tmp_path / "no" / "x")]) == 2
