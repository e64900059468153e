"""An intent file is believed only whole, unchanged, ours, young and for this host."""

from __future__ import annotations

import os
import re
import time

import pytest

from ddlcheck import checks
from ddlcheck.errors import UsageError
from ddlcheck.gates import promised, text
from tests.gates.conftest import HOST, intent, made


def refused(path, **how):
    with pytest.raises(UsageError) as caught:
        promised.load(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def resealed(data, old, new):
    """Return a file whose content was changed and whose hash was made to fit."""
    head, rest = re.match(rb'(\{"hash":"[0-9a-f]{64}","made":\d+)(,.*\n)', data, re.DOTALL).groups()
    assert old in rest
    rest = rest.replace(old, new)
    return b'{"hash":"%s"%s%s' % (text.sha256(rest).encode(), head[head.index(b',"made"') :], rest)


def test_what_was_made_is_read_again(kept):
    found = promised.load(kept(memlock_limit="4096"))
    assert found.intent.node == HOST
    assert found.intent["memlock_limit"] == "4096"
    assert found.intent.nodes == (HOST, "peer1", "peer2")
    assert found.intent.of("peer1").addresses["peer1"] == "192.0.2.2"
    assert found.declared == intent(memlock_limit="4096").digest()


def test_what_spans_nodes_is_in_no_tier_and_what_is_slow_is_the_background_s(kept):
    found = promised.load(kept())
    assert {"hostname", "memlock", "resources"} <= set(found.gate)
    assert {"clock", "openmpi", "hosts_file"} <= set(found.background)
    assert not {"ssh_mesh", "fabric", "health_gate"} & {*found.gate, *found.background}


def test_what_a_site_leaves_out_is_left_out(kept):
    assert "clock" not in promised.load(kept(health_gate_skip=["clock"])).background


def test_cut_short_at_any_byte_it_is_refused(kept):
    data = made(only=["hostname"])
    path = kept(data)
    for size in range(len(data)):
        with open(path, "wb") as file:
            file.write(data[:size])
        refused(path)


def test_with_any_byte_changed_it_is_refused(kept):
    data = made(only=["hostname"])
    rest = data.index(b",", data.index(b'"made"'))
    path = kept(data)
    for at in [*range(80), *range(rest, len(data), 7)]:
        with open(path, "wb") as file:
            file.write(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        refused(path)


@pytest.mark.parametrize(("old", "new", "says"), [
    (b'"version":2', b'"version":3', "version 3"), (b'"version":2', b'"version":"2"', "version '2'"),
    (b'"version":2', b'"version":true', "version True"),
    (b'"names":[', b'"names":[7,', "holds something else"), (b'"gate":["', b'"gate":["../x","', "can be none"),
    (b'"gate":["', b'"gate":["_x","', "can be none"), (b'"values":{', b'"values":[],"v":{', "values is no dict"),
    (b'"cluster":{', b'"cluster":7,"c":{', "cluster is no dict"), (b'"fields":[', b'"fields":["x",', "unknown form"),
    (b'"nodes":[[', b'"nodes":[7,[', "unknown form"), (b'"health_gate_intent_max_age":0', b'"health_gate_intent_max_age":"x"', "how old"),
    (b'"background":[', b'"background":[[[[[[[[', "is not JSON"), (b'"node":"', b'"node":NaN,"n":"', "is not JSON"),
    (b'"node":"', b'"node":' + b"[" * 100000 + b"]" * 100000 + b',"n":"', "is not JSON"),
])  # fmt: skip
def test_a_whole_file_of_another_form_is_refused(kept, old, new, says):
    assert says in refused(kept(resealed(made(), old, new)))


def test_nothing_to_judge_is_refused(kept):
    data = made(only=["hostname"])
    assert "promises nothing" in refused(kept(resealed(data, b'"gate":["hostname"]', b'"gate":[]')))


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}", b'{"version":1,"sha256":"x","nodes":{}}', b"\x00" * 500, b"\xff" * 500, b"[" * 100]
)
def test_another_file_is_refused(kept, data):
    assert "no intent file" in refused(kept(data))


def test_a_huge_file_is_not_read(kept, monkeypatch):
    monkeypatch.setattr(promised, "MOST", 1000)
    assert "more than 1000" in refused(kept())


def test_what_is_no_file_is_refused(place):
    said = refused(str(place / "nothing"))
    assert "No such file" in said
    assert "role health_gate writes it" in said
    os.mkfifo(place / "pipe")
    said = refused(str(place / "pipe"))
    assert "no regular file" in said
    assert "health_gate" not in said
    assert "no regular file" in refused(str(place))


def test_a_symbolic_link_is_not_followed(kept, place):
    link = place / "link.json"
    link.symlink_to(kept())
    assert "symbolic link" in refused(str(link))


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_what_others_may_write_is_refused(kept, mode):
    path = kept()
    os.chmod(path, mode)
    assert "written by others" in refused(path)


def test_a_folder_that_others_may_write_to_is_refused(kept, place):
    path = kept()
    place.chmod(0o777)
    assert "written by others" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_s_file_is_refused(kept):
    path = kept()
    os.chown(path, 4242, 4242)
    assert "belongs to user 4242" in refused(path)


def test_one_older_than_declared_is_refused_and_one_without_an_age_is_not(kept):
    old = time.time() - 7200
    assert "apply the role health_gate again" in refused(kept(when=old, health_gate_intent_max_age=3600))
    assert promised.load(kept(when=old)).made == int(old)


def test_another_host_s_file_is_refused(kept):
    said = refused(kept(node="elsewhere", hosts_file_address="198.51.100.77"))
    assert "is for elsewhere" in said
    assert HOST in said


def test_a_renamed_host_is_known_by_its_address(kept):
    assert promised.load(kept(node="elsewhere", hosts_file_address="127.0.0.1")).intent.node == "elsewhere"


def test_a_thousand_nodes_are_a_small_file():
    base = intent().values
    cluster = {
        f"n{i:04}": {**base, "hostname_fabric_name": f"ib{i}", "hosts_file_address": f"10.0.{i // 256}.{i % 256}"}
        for i in range(1000)
    }
    from ddlcheck.intent import Intent

    data = promised.make(Intent("n0500", cluster["n0500"], cluster), checks.load(), 1)
    assert len(data) < 100_000


def test_equal_values_have_equal_digests_wherever_they_come_from():
    one, other = intent(), intent()
    assert one.digest() == other.digest()
    assert one.digest() != intent(memlock_limit="2").digest()


def test_the_fast_json_is_json():
    import json

    for value in ({"b": [1, 2.5, None, True, "ü\n\u2028"], "a": {}}, [], "x", 10**30, -0.5):
        assert text.dumps(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))
        assert text.loads(json.dumps(value, indent=3)) == value
    for bad in ("", "{", '{"a":}', "NaN", "[1] x", '"\n"', "{'a':1}", "Infinity"):
        with pytest.raises(ValueError, match=r".*"):
            text.loads(bad)
    for bad in (float("nan"), {1, 2}, {"x": object()}):
        with pytest.raises((TypeError, ValueError)):
            text.dumps(bad)
