"""Any inventory is read as Ansible reads it, and what is wrong with it is one sentence."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

import pytest

from ddlcheck import inventory
from ddlcheck.errors import InventoryError

HOSTS = """
all:
  hosts:
    node[01:03]:
      ansible_user: ops
  children:
    rack1:
      hosts:
        node01:
          ansible_host: 10.0.0.1
          ansible_port: 2222
"""


@pytest.fixture
def tree(tmp_path):
    def write(**files):
        for name, text in {"hosts.yml": HOSTS, **files}.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return str(tmp_path)

    return write


def sentence(*args, **kwargs):
    with pytest.raises(InventoryError) as caught:
        inventory.load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_ranges_groups_and_connection_variables_are_read(tree):
    found = inventory.load(tree())
    assert [n.name for n in found.nodes] == ["node01", "node02", "node03"]
    first = found.nodes[0]
    assert (first.address, first.port, first.user) == ("10.0.0.1", 2222, "ops")


def test_a_list_of_hosts_is_an_inventory():
    found = inventory.load("a,b,")
    assert [n.name for n in found.nodes] == ["a", "b"]
    assert found.intents["a"]["memlock_limit"] == "unlimited"
    assert found.intents["a"].nodes == ("a", "b")


def test_a_script_is_an_inventory(tmp_path):
    script = tmp_path / "inv"
    script.write_text(
        '#!/bin/sh\necho \'{"all": {"hosts": ["s1"]}, "_meta": {"hostvars": {"s1": {"memlock_limit": 4096}}}}\'\n'
    )
    script.chmod(0o755)
    found = inventory.load(str(script))
    assert found.intents["s1"]["memlock_limit"] == "4096"


def test_group_and_host_vars_and_jinja_are_honoured(tree):
    source = tree(
        **{
            "group_vars__all.yml": 'number: 7\nhostname_fabric_name: "ib{{ inventory_hostname[-1] }}"\nhostname_policy: ib\n',
            "host_vars__node02.yml": "memlock_limit: '{{ number * 1024 }}'\n",
        }
    )
    found = inventory.load(source)
    assert found.intents["node02"]["memlock_limit"] == "7168"
    assert found.intents["node03"].hostname == "ib3"
    assert found.intents["node01"].addresses == {"node01": "10.0.0.1"}


def test_a_vaulted_variable_is_read_with_its_password(tree, tmp_path):
    password = tmp_path.parent / f"{tmp_path.name}.password"
    password.write_text("open sesame\n")
    source = tree(**{"group_vars__all.yml": "ansible_become_password: hunter2\nansible_become: true\n"})
    subprocess.run(
        ["ansible-vault", "encrypt", "--vault-password-file", str(password), f"{source}/group_vars/all.yml"],
        check=True,
        capture_output=True,
    )
    assert inventory.load(source, vault_password_file=str(password)).nodes[0].become_password == "hunter2"
    assert "vault" in sentence(source).lower()


def test_a_secret_is_in_no_repr(tree):
    source = tree(**{"group_vars__all.yml": "ansible_password: hunter2\nansible_become_password: hunter3\n"})
    assert "hunter" not in repr(inventory.load(source))


def test_an_inventorys_rack_is_the_fabrics(tree):
    source = tree(**{"group_vars__rack1.yml": "rack: r1\n"})
    found = inventory.load(source)
    assert found.intents["node01"]["fabric_rack"] == "r1"
    assert found.intents["node02"]["fabric_rack"] == ""


@pytest.mark.parametrize(
    ("limit", "names"),
    [("rack1", ["node01"]), ("node02,node03", ["node02", "node03"]), ("all:!rack1", ["node02", "node03"])],
)
def test_limit_is_ansibles(tree, limit, names):
    found = inventory.load(tree(), limit=limit)
    assert [n.name for n in found.nodes] == names
    assert found.intents[names[0]].nodes == ("node01", "node02", "node03")


def test_an_unknown_host_or_group_is_named_with_the_nearest(tree):
    assert "'rack2': did you mean rack1?" in sentence(tree(), limit="rack2")
    assert "no host" in sentence(tree(), limit="all:!all")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        pytest.param("memlock_limt: 64", "no variable memlock_limt: did you mean memlock_limit?", id="misspelt"),
        pytest.param("memlok_limit: 64", "did you mean memlock_limit?", id="misspelt before the underscore"),
        pytest.param("hostname_policy: rack", "hostname_policy", id="no such choice"),
        pytest.param("clock_servers: {a: 1}", "clock_servers", id="wrong type"),
        pytest.param("hostname_fabric_name: '{{ nope }}'", "nope", id="an undefined variable in a template"),
        pytest.param("hosts_file_hosts: [node01, node99]", "'node99'", id="a member that is no host"),
        pytest.param("memlock_limit: 64G", "memlock_limit is '64G', but has to be a number of KiB", id="a unit"),
        pytest.param("memlock_limit: -5", "has to be a number of KiB", id="a negative limit"),
        pytest.param("memlock_limit: 0", "has to be a number of KiB", id="a limit of nothing"),
        pytest.param("clock_max_spread: -1", "seconds above 0", id="a negative spread"),
        pytest.param("clock_max_spread: .inf", "seconds above 0", id="an endless spread"),
        pytest.param("fabric_min_bandwidth: fast", "a number of MB/s", id="a floor that is a word"),
        pytest.param("fabric_max_latency: .nan", "microseconds", id="a floor that is no number"),
        pytest.param("fabric_shared_cores: maybe", "true or false", id="neither true nor false"),
        pytest.param("interfaces_fabric_address: 300.1.1.1", "an IP address", id="no address"),
        pytest.param("ssh_mesh_user: -oX", "a user name", id="a user that is an option"),
        pytest.param("ansible_port: 99999", "1 to 65535", id="a port that TCP lacks"),
        pytest.param("ansible_port: ssh", "ansible_port is 'ssh'", id="a port that is no number"),
        pytest.param("ansible_connection: winrm", "'winrm' is not supported", id="a connection we do not speak"),
        pytest.param("ansible_host: -oProxyCommand=x", "read as an option", id="an address that is an option"),
        pytest.param("{ansible_become: true, ansible_become_method: doas}", "'doas' is not supported", id="become"),
    ],
)
def test_what_is_wrong_is_one_sentence(tree, variables, says):
    assert says in sentence(tree(**{"group_vars__all.yml": variables + "\n"}))


def test_a_sentence_says_where_the_variable_is(tree):
    source = tree(**{"group_vars__all.yml": "memlock_limit: 64\nmemlock_limt: 64\n"})
    assert "group_vars/all.yml:2" in sentence(source)


def test_a_sites_own_variable_can_be_exempted(tree):
    source = tree(**{"group_vars__all.yml": "clock_face: round\nddlcheck_ignore_variables: [clock_face]\n"})
    assert inventory.load(source).nodes


@pytest.mark.parametrize(
    "text",
    ["all: [", "\0\1\2", "", "all:\n  hosts:\n    -oProxyCommand=x:\n"],
    ids=["broken YAML", "binary", "empty", "a host that is an option"],
)
def test_an_unusable_inventory_is_one_sentence(tmp_path, text):
    path = tmp_path / "inv.yml"
    path.write_text(text)
    assert str(path) in sentence(str(path))


@pytest.mark.parametrize("text", ["all: [", "plugin: nope", "#!/bin/sh\nexit 4\n"], ids=["YAML", "plugin", "script"])
def test_nothing_but_the_one_sentence_is_printed(tmp_path, capfd, text):
    path = tmp_path / "inv.yml"
    path.write_text(text)
    path.chmod(0o755)
    sentence(str(path))
    assert capfd.readouterr() == ("", "")


def test_an_inventory_that_is_read_in_part_is_refused_also_after_others_read_ansible_s_configuration(tree, monkeypatch):
    monkeypatch.setattr("ansible.constants.INVENTORY_ANY_UNPARSED_IS_FAILED", False)
    source = tree(**{"more.yml": "all: ["})
    assert "more.yml" in sentence(source)


def test_a_vault_without_its_password_says_what_to_give(tmp_path):
    path = tmp_path / "v.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert "--vault-password-file" in sentence(str(path))


def test_an_inventory_that_hangs_is_given_up_and_its_script_ended(tmp_path):
    script = tmp_path / "inv"
    script.write_text("#!/bin/sh\nexec sleep 4713\n")
    script.chmod(0o755)
    code = "import sys; from ddlcheck import inventory; inventory._SECONDS = 2; inventory.load(sys.argv[1])"
    out = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "within 2 s" in out.stderr.splitlines()[-1]
    assert subprocess.run(["pgrep", "-fx", "sleep 4713"], check=False, capture_output=True).returncode == 1


def test_a_variable_without_a_value_says_nothing(tree):
    found = inventory.load(tree(**{"group_vars__all.yml": "ssh_mesh_user:\nmemlock_limit:\n"}))
    assert found.intents["node01"]["ssh_mesh_user"] == ""
    assert found.intents["node01"]["memlock_limit"] == "unlimited"


def test_a_missing_inventory_hints_at_a_list_of_hosts(tmp_path):
    assert "'minsky1,'" in sentence("minsky1")
    assert "no such inventory" in sentence(str(tmp_path / "gone"))


def test_defaults_are_those_of_the_roles():
    import yaml

    from ddlcheck import declared

    for path in pathlib.Path("roles").glob("*/defaults/main.yml"):
        for name, value in yaml.safe_load(path.read_text()).items():
            assert declared.defaults()[name] == value
