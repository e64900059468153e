import html
import json
import re
import subprocess

import numpy as np
import pytest

from ddlcheck.cli import main
from ddlcheck.judging.matrix import Matrix
from tests.judging.test_outliers import simulate, worse

HOSTILE = '</script><img src=x onerror="document.title=1">'


def save(path, n=6, fault=None, **more):
    table, names, rack = simulate(n, 1, racks=2 if n >= 8 else 1)
    if fault is not None:
        worse(table, "bandwidth", (fault, slice(None)), 4)
        worse(table, "bandwidth", (slice(None), fault), 4)
    latency = simulate(n, 2, metric="latency")[0]
    racks = {name: f"r{k}" for name, k in zip(names, rack, strict=True)}
    path.write_text(json.dumps(Matrix(names, bandwidth=table, latency=latency, rack=racks, **more).to_json()))
    return names


def fabric(*words):
    return main(["fabric", *map(str, words)])


def test_a_good_matrix_is_ready(tmp_path, capsys):
    save(tmp_path / "m")
    assert fabric("--from-matrix", tmp_path / "m") == 0
    out = capsys.readouterr().out
    assert "PASS" in out
    assert "bandwidth_MBps (row to column)" in out


def test_a_slow_node_is_not_ready_and_stands_in_the_json(tmp_path):
    names = save(tmp_path / "m", fault=2)
    assert fabric("--from-matrix", tmp_path / "m", "--json", tmp_path / "j", "--good-hosts", tmp_path / "g") == 1
    found = json.loads((tmp_path / "j").read_text())
    culprits = [c for v in found["verdicts"] for c in v["evidence"].get("culprits", [])]
    assert [(c["kind"], c["nodes"], c["metric"]) for c in culprits] == [("node", [names[2]], "bandwidth")]
    assert (tmp_path / "g").read_text().split() == [x for name in names if name != names[2] for x in (name, "slots=1")]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"nodes":["a","b"]}', "x,y\n1,2\n", '{"nodes":["a","b"],"latency_us":[[1]]}']
)
def test_bad_input_is_one_sentence_and_no_sick_node(tmp_path, capsys, text):
    (tmp_path / "m").write_text(text)
    assert fabric("--from-matrix", tmp_path / "m") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_missing_or_binary_file_is_one_sentence(tmp_path, capsys):
    assert fabric("--from-matrix", tmp_path / "none") == 2
    (tmp_path / "m").write_bytes(b"\xff\xfe\x00")
    assert fabric("--from-matrix", tmp_path / "m") == 2
    assert fabric() == 2
    assert fabric("inventory", "--from-matrix", tmp_path / "m") == 2


def test_a_node_of_which_nothing_is_known_is_unknown(tmp_path):
    names = save(tmp_path / "m")
    body = json.loads((tmp_path / "m").read_text())
    body["nodes"].append("new")
    for table in ("latency_us", "bandwidth_MBps"):
        body[table] = [[*row, None] for row in body[table]] + [[None] * (len(names) + 1)]
    (tmp_path / "m").write_text(json.dumps(body))
    assert fabric("--from-matrix", tmp_path / "m") == 3


def test_a_baseline_is_saved_then_compared(tmp_path, capsys):
    save(tmp_path / "m", n=12)
    assert fabric("--from-matrix", tmp_path / "m", "--baseline", tmp_path / "b") == 0
    assert fabric("--from-matrix", tmp_path / "m", "--baseline", tmp_path / "b") == 0
    assert "no drift" in capsys.readouterr().out
    body = json.loads((tmp_path / "m").read_text())
    body["bandwidth_MBps"] = [[x and x * 0.7 for x in row] for row in body["bandwidth_MBps"]]
    (tmp_path / "m").write_text(json.dumps(body))
    assert fabric("--from-matrix", tmp_path / "m", "--baseline", tmp_path / "b") == 0  # WARN
    out = capsys.readouterr().out
    assert "WARN" in out
    assert "in the baseline" in out


def test_the_page_holds_nothing_from_elsewhere_and_escapes_names(tmp_path):
    save(tmp_path / "m", fault=1)
    body = json.loads((tmp_path / "m").read_text().replace("n0001", "@@"))
    body["nodes"] = [HOSTILE if x == "@@" else x for x in body["nodes"]]
    body["rack"] = {}
    (tmp_path / "m").write_text(json.dumps(body))
    fabric("--from-matrix", tmp_path / "m", "--html", tmp_path / "h")
    page = (tmp_path / "h").read_text()
    assert "<img" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("</script>") == 2


def test_the_page_of_a_thousand_nodes_with_three_tables_is_small():
    from ddlcheck.report import matrix_html

    table, names, _ = simulate(1024, 1, racks=32)
    both = np.fmax(table, table.T)
    latency = simulate(1024, 2, metric="latency")[0]
    page = matrix_html.render(Matrix(names, bandwidth=table, latency=latency, both=both), None, [])
    assert len(page) <= 6_000_000


PROBE = """<script>
const errors = [];
window.onerror = (m) => { errors.push("" + m); };
console.error = (...m) => { errors.push(m.join(" ")); };
addEventListener("load", () => setTimeout(() => {
  const map = document.getElementById("map"), r = map.getBoundingClientRect();
  const f = r.width / (left + n * cell + 8);
  const at = (y, x) => { map.dispatchEvent(new MouseEvent("mousemove", { clientX: r.left + (left + (x + .5) * cell) * f, clientY: r.top + (top_ + (y + .5) * cell) * f })); return info.textContent; };
  // One reading of the canvas: several draw a remark from the browser, and no word on the console is to pass here.
  const whole = () => map.getContext("2d").getImageData(0, 0, map.width, map.height);
  const pixel = (w, y, x) => { const s = map.width / (left + n * cell + 8), k = 4 * (Math.floor((top_ + (y + .5) * cell) * s) * map.width + Math.floor((left + (x + .5) * cell) * s)); return [...w.data.slice(k, k + 3)]; };
  const out = { hover: at(0, 1), diagonal: at(0, 0) };
  document.querySelector("#order input[value=name]").click();
  out.byname = at(0, 1), out.last = at(n - 1, 0);
  document.querySelector("#order input[value=slow]").click();
  out.slowest = at(0, 1); const w = whole(); out.dark = pixel(w, 0, n - 1), out.light = pixel(w, n - 2, n - 1);
  document.querySelector("#tables input[value=latency]").click();
  out.latency = at(0, 1);
  document.querySelector("#map").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
  out.key = info.textContent;
  out.wide = r.width, out.page = document.documentElement.scrollWidth, out.errors = errors;
  const pre = document.createElement("pre"); pre.id = "out"; pre.textContent = JSON.stringify(out); document.body.append(pre);
}, 200));
</script></body>"""


def browse(page):
    """Open a page in headless Chromium, use it, and return what it said."""
    page.write_text(page.read_text().replace("</body>", PROBE))
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1400", "--enable-logging=stderr",
             "--virtual-time-budget=20000", "--dump-dom"]  # fmt: skip
    done = subprocess.run([*words, page.as_uri()], capture_output=True, text=True, timeout=300, check=False)
    assert ":CONSOLE" not in done.stderr, done.stderr
    return json.loads(html.unescape(re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)[1]))


@pytest.mark.lab  # what `make test` installs: chromium
@pytest.mark.parametrize("n", [4, 1024])
def test_in_a_browser_hover_names_the_pair_and_sorting_puts_the_slowest_first(tmp_path, n):
    slow = 2 if n < 8 else 5
    names = save(tmp_path / "m", n=n, fault=slow)
    fabric("--from-matrix", tmp_path / "m", "--html", tmp_path / "h.html")
    assert (tmp_path / "h.html").stat().st_size <= 6_000_000
    found = browse(tmp_path / "h.html")
    assert found["errors"] == []
    assert found["hover"].startswith(f"{names[0]} (r0) → {names[1]} (r0): ")
    assert "MB/s" in found["hover"]
    assert found["diagonal"].endswith("itself")
    assert found["byname"].startswith(f"{names[0]} ")
    assert found["last"].startswith(f"{names[-1]} ")
    assert found["slowest"].startswith(f"{names[slow]} ")
    assert "µs" in found["latency"]
    assert found["key"] != found["latency"]
    assert sum(found["dark"]) < sum(found["light"]), "what is slow is dark"
    assert found["wide"] <= 1240
    assert found["page"] <= 1280, "the page is not scrolled sideways"
