import numpy as np
import pytest

from ddlcheck.judging import ceiling
from ddlcheck.judging.matrix import Matrix
from ddlcheck.verdict import Status

SIZE = 1 << 20
EDR, QDR = "100 Gb/sec (4X EDR)", "40 Gb/sec (4X QDR)"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (EDR, 12121.2), ("200 Gb/sec (4X HDR)\n", 24242.4), (QDR, 4000), ("10 Gb/sec (4X SDR)", 1000), ("2.5 Gb/sec (1X)", 250),
        ("56 Gb/sec (4X FDR)", 6787.9), ("10000 Mb/s", 1250), ("25000 Mb/s", 3125),
        ("", None), ("-1 Mb/s", None), ("unknown", None), ("0 Mb/s", None),
    ],
)  # fmt: skip
def test_what_a_rate_file_says_is_what_data_can_pass(text, rate):
    assert ceiling.rate(text) == (rate if rate is None else pytest.approx(rate, abs=0.1))


def part(shares, links):
    moved = {device: [int(SIZE * 100 * share)] * 2 for device, share in shares.items()}
    return {"rank": {"links": links}, "counters": {"one_way": {"payload": SIZE * 100, "moved": moved}}}


@pytest.mark.parametrize(
    ("shares", "links", "rate"),
    [
        ({"ib:mlx5_0/1:bytes": 1.0}, {"ib:mlx5_0/1": EDR, "net:eth0": "1000 Mb/s"}, 12121.2),
        # Two rails of one rank carry together, and a port that carried next to nothing does not.
        ({"ib:mlx5_0/1:bytes": 0.6, "ib:mlx5_1/1:bytes": 0.4}, {"ib:mlx5_0/1": EDR, "ib:mlx5_1/1": EDR}, 24242.4),
        ({"ib:mlx5_0/1:bytes": 1.0, "ib:mlx5_1/1:bytes": 0.01}, {"ib:mlx5_0/1": EDR, "ib:mlx5_1/1": EDR}, 12121.2),
        ({"net:eth0": 1.03, "net:lo": 0.5}, {"net:eth0": "10000 Mb/s"}, 1250),
        ({"net:ib0": 1.0, "ib:mlx5_0/1:bytes": 1.0}, {"net:ib0": "100000 Mb/s", "ib:mlx5_0/1": EDR}, 12500),
        # A virtual interface has no rate, and so no ceiling, and neither has a sum that it is part of.
        ({"net:eth0": 1.03}, {}, None),
        ({"net:eth0.7": 1.0, "net:eth0": 1.03}, {"net:eth0": "10000 Mb/s"}, None),
        ({"net:lo": 1.0}, {"net:eth0": "10000 Mb/s"}, None),
        ({}, {"net:eth0": "10000 Mb/s"}, None),
        ({"net:eth0": 1.03}, None, None),
    ],
)  # fmt: skip
def test_a_nodes_ceiling_is_that_of_the_devices_that_carried(shares, links, rate):
    found = ceiling.of_node(part(shares, links))
    assert (found and found.rate) == (rate if rate is None else pytest.approx(rate, abs=0.1))


def judged(bandwidth, rates, kind="verbs"):
    n = len(rates)
    table = np.full((n, n), float(bandwidth))
    np.fill_diagonal(table, np.nan)
    nodes = [f"n{i}" for i in range(n)]
    found = {node: ceiling.Ceiling(rate, EDR, kind) for node, rate in zip(nodes, rates, strict=True) if rate}
    return list(ceiling.judge(Matrix(nodes, bandwidth=table), found))


def test_more_than_the_link_carries_cannot_be_believed():
    (found,) = judged(14000, [12121] * 3)
    assert found.status is Status.UNKNOWN
    assert found.nodes == ("n0", "n1", "n2")
    assert "more than the link carries (12121 MB/s" in found.seen


def test_the_slower_of_two_links_decides():
    (found,) = judged(7000, [12121, 12121, 6060])
    assert sorted(map(tuple, found.evidence["pairs"])) == [("n0", "n2"), ("n1", "n2"), ("n2", "n0"), ("n2", "n1")]


def test_what_a_good_link_carries_is_no_finding():
    assert judged(11500, [12121] * 4) == []
    assert judged(12200, [12121] * 4) == []  # within the slack
    assert judged(99999, [None] * 4) == []
    assert judged(99999, [12121, None, None]) == []  # no pair of which both are known


def test_far_below_the_rate_is_said_where_a_link_could_be_filled():
    (found,) = judged(3000, [12121] * 4)
    assert (found.status, found.evidence["of_link_rate"]) == (Status.WARN, pytest.approx(0.2475, abs=1e-3))
    assert judged(3000, [12121] * 4, "tcp") == []  # one stream of TCP does not fill it
    assert judged(300, [1250] * 4, "tcp")[0].status is Status.WARN


def test_a_node_whose_link_is_slower_than_the_others_is_told_apart():
    found = {f"n{i}": ceiling.Ceiling(12121, EDR, "verbs") for i in range(4)}
    assert ceiling.odd(found) == {}
    found["n3"] = ceiling.Ceiling(4000, QDR, "verbs")
    assert list(ceiling.odd(found)) == ["n3"]
    assert QDR in ceiling.odd(found)["n3"]
    assert ceiling.odd({k: found[k] for k in ("n0", "n3")}) == {}
