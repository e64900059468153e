"""Values that contradict each other end in one sentence, before anything is changed.

Every case is a host of one inventory on this machine, so that all of them cost one run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

# A build of one's own, as it should be declared.
OWN: dict[str, Any] = {
    "openmpi_method": "source", "openmpi_prefix": "/opt/openmpi", "openmpi_source": "/srv/openmpi.tar.gz", "openmpi_source_sha256": "0" * 64,
    "openmpi_ucx_source": "https://files.example.org/ucx.tar.gz", "openmpi_ucx_source_sha256": "A" * 64,
}  # fmt: skip
# A case: the host's name, what it declares, what is said of it.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "memlock-word": (
        {"memlock_limit": "lots"},
        "memlock_limit is 'lots', but has to be a number of KiB or the word unlimited.",
    ),
    "memlock-zero": ({"memlock_limit": 0}, "memlock_limit is '0'"),
    "memlock-path": ({"memlock_path": "/etc/limits"}, "PAM only reads files /etc/security/limits.d/*.conf"),
    "memlock-unit": ({"memlock_daemons": ["ssh; reboot"]}, "no systemd unit can have"),
    "hostname-nameless": ({"hostname_policy": "ib"}, "hostname-nameless has no hostname_fabric_name to be named by"),
    "hostname-policy": ({"hostname_policy": "infiniband"}, "value of hostname_policy must be one of: keep, ib"),
    "hostname-option": (
        {"hostname_policy": "ib", "hostname_fabric_name": "-rf"},
        "'-rf', which is not a host name",
    ),
    "hostname-twin1": (
        {"hostname_policy": "ib", "hostname_fabric_name": "twin"},
        "and hostname-twin2 would both be named twin",
    ),
    "hostname-twin2": ({"hostname_policy": "ib", "hostname_fabric_name": "twin"}, "hostname-twin1 would both"),
    "hosts-file-stranger": ({"hosts_file_hosts": ["nobody"]}, "hosts the inventory does not have: nobody"),
    "hosts-file-homeless": (
        {"hosts_file_hosts": ["hosts-file-homeless"], "ansible_host": "localhost"},
        "No address is declared for hosts-file-homeless: set hosts_file_address",
    ),
    "hosts-file-fabric": (
        {"hosts_file_hosts": ["hosts-file-fabric"], "hostname_fabric_name": "ibx"},
        "No address is declared for ibx",
    ),
    "hosts-file-torn": (
        {"hosts_file_hosts": ["hosts-file-torn"], "hosts_file_extra": ["192.0.2.9 hosts-file-torn"]},
        "These names would stand on two addresses: hosts-file-torn",
    ),
    "hosts-file-extra": ({"hosts_file_extra": ["nfs1 192.0.2.9"]}, "a line that is not 'address name...'"),
    "ssh-mesh-root": (
        {"ssh_mesh_user": "root"},
        "The job user would be root on ssh-mesh-root: name another one in ssh_mesh_user",
    ),
    "ssh-mesh-user": ({"ssh_mesh_user": "-oProxyCommand=x"}, "which is not a user name"),
    "ssh-mesh-key": ({"ssh_mesh_key_name": "../x"}, "which cannot be the name of a key below ~/.ssh"),
    "ssh-mesh-config": ({"ssh_mesh_key_name": "config"}, "which cannot be the name of a key"),
    "ssh-mesh-startups": ({"ssh_mesh_max_startups": "many"}, "sshd wants a number or start:rate:full"),
    "ssh-mesh-outside": ({"ssh_mesh_hosts": ["fine"]}, "ssh-mesh-outside is not in ssh_mesh_hosts"),
    "openmpi-method": ({"openmpi_method": "spack"}, "must be one of: package, source, hpcx, existing"),
    "openmpi-prefix": ({"openmpi_prefix": "/opt/ompi"}, "openmpi_prefix is /opt/ompi, but the distribution's package"),
    "openmpi-package-cuda": ({"openmpi_cuda": True}, "no distribution's package is built with CUDA"),
    "openmpi-source-usr": (OWN | {"openmpi_prefix": "/usr"}, "openmpi_prefix is /usr, but with openmpi_method source"),
    "openmpi-source-none": (
        OWN | {"openmpi_source": ""},
        "openmpi_source and openmpi_ucx_source have to name tarballs",
    ),
    "openmpi-source-sum": (OWN | {"openmpi_ucx_source_sha256": "f00"}, "have to be the SHA-256 of the tarballs"),
    "openmpi-source-word": (OWN | {"openmpi_configure": ["; reboot"]}, "hold words for configure, each --option"),
    "openmpi-source-against": (
        OWN | {"openmpi_cuda": True, "openmpi_configure": ["--without-cuda"]},
        "openmpi_cuda is true, but a configure line says --without-cuda",
    ),
    "openmpi-source-pmix": (OWN | {"openmpi_pmix": "external"}, "have to be the word internal, or an absolute path"),
    "openmpi-source-host": (OWN | {"openmpi_build_host": "nobody"}, "nobody, which the inventory does not have"),
    "openmpi-source-jobs": (OWN | {"openmpi_build_jobs": -1}, "openmpi_build_jobs has to be 0 or more"),
    "openmpi-hpcx-prefix": ({"openmpi_method": "hpcx", "openmpi_prefix": "/opt/hpcx"}, "HPC-X holds Open MPI in ompi/"),
    "openmpi-hpcx-archive": (
        {"openmpi_method": "hpcx", "openmpi_prefix": "/opt/hpcx/ompi", "openmpi_archive_sha256": "1" * 64},
        "openmpi_archive has to name the archive",
    ),
    "openmpi-existing-root": ({"openmpi_method": "existing", "openmpi_prefix": "/"}, "a directory of its own"),
    "openmpi-ucx": ({"openmpi_ucx": {"TLS": "rc"}}, "a name no setting of UCX can have: TLS"),
    "openmpi-ucx-cuda": (
        OWN | {"openmpi_cuda": True, "openmpi_ucx": {"UCX_TLS": "rc,sm"}},
        "without cuda in that list",
    ),
    "openmpi-cuda-off": (
        OWN | {"openmpi_cuda": True, "openmpi_mca": {"opal_cuda_support": 0}},
        "sets opal_cuda_support to 0",
    ),
    "openmpi-device": ({"openmpi_devices": ["mlx5_0:1; x"]}, "no device of UCX"),
    "openmpi-device-tcp": ({"openmpi_transport": "tcp", "openmpi_devices": ["eth0"]}, "so UCX is not used"),
    "openmpi-transport": ({"openmpi_transport": "ib"}, "value of openmpi_transport must be one of: any, verbs, tcp"),
    "openmpi-tcp": (
        {"openmpi_transport": "tcp", "openmpi_mca": {"pml": "ucx"}},
        "is tcp, but openmpi_mca sets pml to ucx",
    ),
    "openmpi-verbs": (
        {"openmpi_transport": "verbs", "openmpi_mca": {"pml": "^ucx"}},
        "is verbs, but openmpi_mca sets pml to ^ucx",
    ),
    "openmpi-mca": ({"openmpi_mca": {"--help": 1}}, "a name no MCA parameter can have"),
    "clock-option": ({"clock_servers": ["-x"]}, "neither a host name nor an address"),
    "clock-itself": ({"clock_servers": ["clock-itself"]}, "clock-itself is declared as its own time server"),
    "clock-poll": ({"clock_minpoll": 7, "clock_maxpoll": 6}, "the first not above the second"),
    "clock-spread": ({"clock_max_spread": 0}, "has to be above 0 seconds"),
    "gate-age": ({"health_gate_max_age": 300}, "less than twice health_gate_interval"),
    "gate-timeout": ({"health_gate_timeout": 60}, "has to be from 1 to 55 seconds"),
    "gate-age-word": ({"health_gate_max_age": "300"}, "less than twice health_gate_interval"),
    "ssh-mesh-root-word": (
        {"ssh_mesh_user": "root", "ssh_mesh_allow_root": "false"},
        "The job user would be root on ssh-mesh-root-word",
    ),
    "gate-share": ({"health_gate_breaker_share": 0}, "has to be above 0 and at most 1"),
    "gate-scheduler": ({"health_gate_scheduler": "sge"}, "value of health_gate_scheduler must be one of"),
    "interfaces-path": ({"interfaces_fabric": "../x"}, "which is not the name of a network interface"),
    "interfaces-none": ({"interfaces_fabric": "nosuch0"}, "interfaces-none has no interface nosuch0"),
    "interfaces-else": (
        {"interfaces_fabric": "lo", "interfaces_fabric_address": "198.51.100.9"},
        "lo on interfaces-else does not bear 198.51.100.9",
    ),
    "nfs-blank": ({"nfs_mounts": [{"path": "/a", "source": "s:/x", "options": "rw, hard"}]}, "may be no blank"),
    "nfs-relative": ({"nfs_mounts": [{"path": "data", "source": "s:/x"}]}, "absolute paths"),
    "nfs-twice": (
        {"nfs_mounts": [{"path": "/a", "source": "s:/x"}, {"path": "/a", "source": "s:/y"}]},
        "one path twice",
    ),
    "nfs-soft": (
        {"nfs_mounts": [{"path": "/a", "source": "s:/x", "options": "soft"}]},
        "/a would be mounted soft and writable",
    ),
    "nfs-scratch": ({"nfs_mounts": [{"path": "/a", "source": "s:/x", "scratch": "../b"}]}, "without .. and blanks"),
    "nfs-everybody": ({"nfs_exports": [{"path": "/a", "clients": []}]}, "names no clients"),
    "dataset-digest": (
        {"dataset_sets": [{"name": "d", "dest": "/a/d", "digest": "abc"}]},
        "SHA-256 that ddlcheck dataset",
    ),
    "dataset-source": (
        {"dataset_sets": [{"name": "d", "dest": "/a/d", "digest": "0" * 64, "method": "copy"}]},
        "but no source",
    ),
    "dataset-parts": (
        {"dataset_sets": [{"name": "d", "dest": "/a/d", "digest": "0" * 64, "mode": "partitioned"}]},
        "names no nodes",
    ),
    "gpfs-path": ({"gpfs_file_systems": [{"name": "fs1", "path": "gpfs"}]}, "has to be absolute"),
    "gpfs-twice": (
        {"gpfs_file_systems": [{"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}]},
        "names one thing twice",
    ),
}
FINE: dict[str, dict[str, Any]] = {
    "fine": {},
    "fine-fabric": {
        "hostname_policy": "ib",
        "hostname_fabric_name": "ib7",
        "interfaces_fabric": "lo",
        "interfaces_fabric_address": "127.0.0.1",
        "memlock_limit": 8192,
        "openmpi_transport": "verbs",
        "hosts_file_extra": ["2001:db8::5 nfs6 nfs6.example"],
        "clock_servers": ["2001:db8::7", "ntp.example"],
    },
    "fine-build": OWN
    | {
        "openmpi_cuda": True,
        "openmpi_ucx": {"UCX_TLS": "rc,cuda_copy"},
        "openmpi_devices": ["mlx5_0:1", "ib0"],
        "openmpi_configure": ["--disable-oshmem", "CFLAGS=-O2 -g"],
        "openmpi_pmix": "/opt/pmix",
        "openmpi_build_host": "fine",
    },
    "fine-hpcx": {
        "openmpi_method": "hpcx",
        "openmpi_prefix": "/opt/hpcx/ompi",
        "openmpi_archive": "/srv/hpcx.tbz",
        "openmpi_archive_sha256": "b" * 64,
    },
    # As `-e NAME=VALUE` gives them: every number and every truth is a word.
    "fine-words": {
        "health_gate_interval": "10",
        "health_gate_max_age": "20",
        "health_gate_timeout": "55",
        "health_gate_intent_max_age": "3600",
        "health_gate_breaker_share": "0.5",
        "health_gate_breaker_window": "60",
        "health_gate_drain": "false",
        "ssh_mesh_allow_root": "false",
        "openmpi_cuda": "false",
        "openmpi_build_jobs": "2",
        "openmpi_build_timeout": "600",
        "nfs_deadline": "5",
        "nfs_within": "2.5",
        "nfs_max_used": "90",
        "nfs_threads": "8",
        "nfs_readahead": "4096",
        "gpfs_deadline": "5",
        "gpfs_patience": "60",
        "dataset_budget": "1.5",
        "dataset_sample": "8",
        "dataset_full": "false",
        "clock_max_spread": "0.5",
    },
    "fine-image": {"openmpi_method": "existing"},
    "fine-existing": {
        "openmpi_method": "existing",
        "openmpi_prefix": "/shared/sw/openmpi-5.0.10",
        "openmpi_cuda": True,
    },
    "other.example.org": {"memlock_limit": "unlimited", "openmpi_mca": {"btl_tcp_links": 2}},
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, play: Callable[..., Any]) -> Any:
    hosts = {name: declared for name, (declared, _) in CASES.items()} | FINE
    for number, (name, declared) in enumerate(hosts.items(), 1):
        declared.setdefault("ansible_host", f"192.0.2.{number}")
        declared.setdefault("hosts_file_hosts", [name])
    everywhere = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ssh_mesh_user": "ddl",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    inventory = tmp_path_factory.mktemp("validate") / "hosts.json"
    inventory.write_text(json.dumps({"all": {"vars": everywhere, "hosts": hosts}}))
    return play(inventory, "--tags", "validate")


@pytest.mark.parametrize("name", CASES)
def test_a_contradiction_is_one_sentence(verdicts: Any, name: str) -> None:
    assert CASES[name][1] in verdicts.failed.get(name, "nothing was said")


@pytest.mark.parametrize("name", FINE)
def test_good_values_pass(verdicts: Any, name: str) -> None:
    assert verdicts.failed.get(name, "") == ""


def test_validating_changes_nothing(verdicts: Any) -> None:
    assert set(verdicts.changed.values()) == {0}
