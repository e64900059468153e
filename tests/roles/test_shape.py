"""What every role of this tree has in common, read from its files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/defaults/main.yml"))
roles = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def options(role: Path) -> dict[str, dict[str, object]]:
    spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
    found: dict[str, dict[str, object]] = spec["argument_specs"]["main"]["options"]
    return found


@roles
def test_every_default_has_a_type_and_a_meaning(role: Path) -> None:
    assert set(options(role)) == set(yaml.safe_load((role / "defaults/main.yml").read_text()))
    assert all(option["type"] and str(option["description"]).endswith(".") for option in options(role).values())


@roles
def test_a_default_is_said_once(role: Path) -> None:
    assert not [name for name, option in options(role).items() if "default" in option]


@roles
def test_every_variable_bears_the_role_s_name(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in options(role))
    assert all(name.startswith(f"_{role.name}_") for name in yaml.safe_load((role / "vars/main.yml").read_text()))


@roles
def test_main_is_a_table_of_contents(role: Path) -> None:
    assert len((role / "tasks/main.yml").read_text().splitlines()) <= 60


@roles
def test_values_are_validated_under_the_tag(role: Path) -> None:
    tasks = yaml.safe_load((role / "tasks/main.yml").read_text())
    first = next(task for task in tasks if "ansible.builtin.import_tasks" in task)
    assert (first["ansible.builtin.import_tasks"], first["tags"]) == ("validate.yml", ["validate"])


@roles
def test_no_group_but_all_is_known_to_a_role(role: Path) -> None:
    text = "".join(path.read_text() for path in role.rglob("*") if path.is_file())
    assert set(re.findall(r"groups\[[^\]]*\]", text)) <= {"groups['all']"}
    assert "group_names" not in text


@roles
def test_the_read_me_names_every_variable_and_how_to_undo(role: Path) -> None:
    text = (role / "README.md").read_text()
    assert not [name for name in options(role) if f"`{name}`" not in text]
    assert "Promise: **" in text
    assert re.search(r"^(Undone|.*Undone) by", text, re.MULTILINE)


@roles
def test_the_look_is_plain_shell(role: Path) -> None:
    for script in role.glob("files/*.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)


def test_the_playbook_is_roles_and_tags_only() -> None:
    plays = yaml.safe_load((ROOT / "playbooks/provision.yml").read_text())
    assert not [key for play in plays for key in play if "tasks" in key or key.startswith("vars") or key == "handlers"]
    listed = [(role["role"], role["tags"]) for play in plays for role in play["roles"]]
    assert sorted(listed) == [(role.name, [role.name]) for role in ROLES]
