"""What is written about it is complete and true, or the build fails."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from ddlcheck import __version__, checks, cli
from ddlcheck.verdict import VERBS

README = pathlib.Path("README.md").read_text()
ROLES = sorted(p.name for p in pathlib.Path("roles").iterdir())


@pytest.mark.parametrize("name", checks.names())
def test_every_promise_stands_in_the_readme_word_for_word(name):
    assert f"| `{name}` | {checks.promise(checks.load([name])[name])} |" in README


@pytest.mark.parametrize("verb", cli.verbs())
def test_every_verb_is_documented_and_helps(verb):
    word = verb.replace("_", "-")
    assert f"`ddlcheck {word}" in README
    out = subprocess.run([sys.executable, "-m", "ddlcheck", word, "--help"], capture_output=True, text=True, check=True)
    assert "usage: ddlcheck" in out.stdout


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_stands_in_its_roles_readme(role):
    defaults = yaml.safe_load(pathlib.Path(f"roles/{role}/defaults/main.yml").read_text())
    text = pathlib.Path(f"roles/{role}/README.md").read_text()
    assert [name for name in defaults if f"`{name}`" not in text] == []


def test_links_in_the_documents_lead_somewhere():
    for path in [
        *pathlib.Path().glob("*.md"),
        *pathlib.Path("docs").rglob("*.md"),
        *pathlib.Path("roles").rglob("*.md"),
    ]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / link).exists(), f"{path}: {link}"


def test_every_verdict_verb_has_words():
    from ddlcheck.report import lines

    assert set(lines.SAYS) == set(VERBS)


def test_the_changelog_knows_this_version():
    assert f"## {__version__}" in pathlib.Path("CHANGELOG.md").read_text()
    assert f'version = "{__version__}"' in pathlib.Path("pyproject.toml").read_text()


def test_the_first_word_on_bad_usage_is_one_sentence():
    for words, says in (
        (["clustr"], "did you mean cluster?"),
        (["cluster", "nowhere"], "no such inventory"),
        (["cluster", "a,", "--only", "memlok"], "did you mean memlock?"),
        (["cluster"], "give an inventory"),
        (["cluster", "a,", "--json", "/nowhere/x.json"], "cannot be written there"),
        (["node", "--intent", "/nowhere.json"], "No such file"),
        (["cluster", "--replay", "/nowhere"], "No such file"),
        (["cluster", "a,", "-e", "memlock_limit"], "VAR=VALUE"),
        (["cluster", "a,", "-e", "memlock_limit=64G"], "a number of KiB"),
        (["cluster", "a,", "--forks", "0"], "whole number from 1"),
        (["cluster", "a,", "--timeout", "nan"], "number of seconds"),
        (["cluster", "--replay", "/tmp", "-e", "memlock_limit=1"], "as it was kept"),
        (["cluster", "--replay", "/tmp", "--limit", "x"], "as it was kept"),
        (["lab", "up", "--nodes", "0"], "0"),
        (["lab", "jump"], "invalid choice"),
    ):
        out = subprocess.run([sys.executable, "-m", "ddlcheck", *words], capture_output=True, text=True, check=False)
        assert out.returncode == 2, out
        assert out.stdout == ""
        assert out.stderr.count("\n") == 1
        assert says in out.stderr
