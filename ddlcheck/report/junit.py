"""JUnit XML, as CI systems read it: a suite is a promise, a case is a node (or several, judged together)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ddlcheck.report import fold
from ddlcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddlcheck.report import Result
    from ddlcheck.verdict import Verdict

_TAGS = {Status.FAIL: "failure", Status.UNKNOWN: "error", Status.SKIP: "skipped"}


def render(result: Result) -> str:
    """Return the XML; WARN is a pass that says why in ``system-out``."""
    root = ET.Element("testsuites", name="ddlcheck", time=f"{result.seconds:.3f}")
    for promise, sentence in result.promises.items():
        verdicts = [v for v in result.verdicts if v.promise == promise]
        suite = ET.SubElement(root, "testsuite", name=promise, tests=str(len(verdicts)))
        for status, word in ((Status.FAIL, "failures"), (Status.UNKNOWN, "errors"), (Status.SKIP, "skipped")):
            suite.set(word, str(sum(1 for v in verdicts if v.status is status)))
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="promise", value=_legal(sentence))
        for name, value in _figures(verdicts):
            ET.SubElement(properties, "property", name=name, value=value)
        for verdict in verdicts:
            _case(suite, promise, verdict)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _figures(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    """Yield what is typical of the fabric, and each culprit: names and values of properties."""
    for verdict in verdicts:
        for metric, by_class in verdict.evidence.get("typical", {}).items() if "spread" in verdict.evidence else ():
            for name, value in by_class.items():
                yield f"typical {metric} {name}", f"{value:.6g}"
        for culprit in verdict.evidence.get("culprits", []):
            yield f"{culprit['kind']} {','.join(culprit['nodes'])} {culprit['metric']}", f"{culprit['ratio']:.4g}"


def _case(suite: ET.Element, promise: str, verdict: Verdict) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"ddlcheck.{promise}",
        name=_legal(fold.nodes(verdict.nodes)),
        time=f"{verdict.ms / 1000:.3f}",
    )
    tag = _TAGS.get(verdict.status)
    if tag:
        child = ET.SubElement(case, tag, message=_legal(verdict.seen))
        child.text = _legal(
            f"seen: {verdict.seen}\npromised: {verdict.promised}\ncause: {verdict.cause}\nremedy: {verdict.remedy}"
        )
    elif verdict.status is Status.WARN:
        ET.SubElement(case, "system-out").text = _legal(f"{verdict.seen}; {verdict.cause}")


def _legal(text: str) -> str:
    """Return the text without what XML 1.0 forbids."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]", "\ufffd", text)
