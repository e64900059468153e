"""One name for every promise: its check, its role, its tests; and no default is said twice."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest
import yaml

from ddlcheck import checks

TREE = pathlib.Path(__file__).parents[1]
CHECKS = checks.load()
ROLES = sorted(path.name for path in (TREE / "roles").iterdir() if path.is_dir())
LONGEST = 150  # lines of code: what one reads at a sitting
LONGER = {"fabric": 190}  # two metrics of pairs, against the declared, the usual and the rack


def read(*parts):
    return yaml.safe_load((TREE.joinpath(*parts)).read_text(encoding="utf-8"))


def code(path):
    """Return the lines of code: without docstrings, comments and blank lines."""
    text = path.read_text(encoding="utf-8")
    said = set()
    for item in ast.walk(ast.parse(text)):
        if isinstance(item, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(item):
            said.update(range(item.body[0].lineno, item.body[0].end_lineno + 1))
    return [
        line for number, line in enumerate(text.splitlines(), 1)
        if number not in said and line.strip() and not line.lstrip().startswith("#")
    ]  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_has_the_role_of_its_name_or_says_why_none(name):
    reason = getattr(CHECKS[name], "NO_ROLE", "")
    assert (name in ROLES) != bool(reason)


@pytest.mark.parametrize("name", ROLES)
def test_a_role_has_the_check_of_its_name(name):
    assert name in CHECKS


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_has_a_test_file_of_its_name(name):
    assert (TREE / "tests" / "checks" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_begins_with_its_promise_in_one_sentence(name):
    sentence = checks.promise(CHECKS[name])
    assert re.fullmatch(r"[A-Z][^.]*\.", sentence), sentence
    assert not re.search(r"\b(will|should|must|checks?|verif)", sentence), "a promise, in the present tense"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_can_be_read_at_a_sitting(name):
    assert len(code(TREE / "ddlcheck" / "checks" / f"{name}.py")) <= LONGER.get(name, LONGEST)


@pytest.mark.parametrize("name", ROLES)
def test_the_argument_spec_names_every_default_and_repeats_none(name):
    options = read("roles", name, "meta", "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read("roles", name, "defaults", "main.yml")
    assert set(options) == set(defaults)
    assert [option for option, spec in options.items() if "default" in spec] == []
    assert all(spec.get("description") and spec.get("type") for spec in options.values())


@pytest.mark.parametrize("name", ROLES)
def test_a_role_s_variables_bear_its_name(name):
    assert [key for key in read("roles", name, "defaults", "main.yml") if not key.startswith(f"{name}_")] == []


def test_a_default_is_said_in_one_role_only():
    said = [key for name in ROLES for key in read("roles", name, "defaults", "main.yml")]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("name", [n for n in CHECKS if hasattr(CHECKS[n], "NO_ROLE")])
def test_the_variables_of_a_check_without_a_role_bear_its_name(name):
    shared = {"rack"}  # where a node stands is of interest to more than one check
    assert all(key.startswith(f"{name}_") or key in shared for key in getattr(CHECKS[name], "DEFAULTS", {}))


@pytest.mark.parametrize("name", ROLES)
def test_a_role_runs_from_site_yml_under_its_own_tag(name):
    (play,) = read("playbooks", "provision.yml")
    assert {"role": name, "tags": [name]} in play["roles"]
