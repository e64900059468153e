"""What differs between Open MPI 4 and 5 when they launch by a rank file: each said of both, by real launches.

All runs of one version go to the first node in one script, since a login costs as much as a launch.
"""

import re
import shlex

import pytest

from tests.ddl.nodes import PBS, REFUSED, SLURM, SRUN, at, must

pytestmark = pytest.mark.lab

FILES = {
    "host.rf": "rank 0=minsky1 slot=0:0\nrank 1=minsky2 slot=0:0\n",
    "ib.rf": "rank 0=ib1 slot=0:0\nrank 1=ib2 slot=0:0\n",
    "head.rf": "rank 0=ib1 slot=0:0\nrank 1=minsky2 slot=0:0\n",
    "far.rf": "rank 0=minsky1 slot=0:0\nrank 1=ib2 slot=0:0\n",
    "full.rf": "rank 0=minsky1.lab.example slot=0:0\nrank 1=minsky2.lab.example slot=0:0\n",
    "relative.rf": "rank 0=+n0 slot=0:0\nrank 1=+n1 slot=0:0\n",
    "two.rf": "rank 0=minsky1 slot=0:0\nrank 1=minsky1 slot=0:1\nrank 2=minsky2 slot=0:0\n",
    "host.hosts": "minsky1 slots=2\nminsky2 slots=2\n",
    "mixed.hosts": "minsky1 slots=2\nib2 slots=2\n",
    "nodefile": "minsky1\nminsky1\nminsky2\nminsky2\n",
    "agent": '#!/bin/sh\necho used >> /tmp/dialects/agent.log\nexec ssh "$@"\n',
    "bin/srun": SRUN,
}
BY = {4: "--rankfile {}", 5: "--map-by rankfile:file={}"}
ENV = "sh -c 'echo $OMPI_COMM_WORLD_RANK:$FROM_HEAD:$LD_LIBRARY_PATH'"

#: name: (environment, words for 4, words for 5); {P} is mpirun, {L} its library directory.
RUNS = {
    "single dash rf": ("", "-n 2 --hostfile host.hosts -rf host.rf hostname"),
    "rankfile": ("", "-n 2 --hostfile host.hosts --rankfile host.rf hostname"),
    "map-by": ("", "-n 2 --hostfile host.hosts --map-by rankfile:file=host.rf hostname"),
    "single dash": ("", "-n 2 -hostfile host.hosts {host.rf} hostname"),
    "no allocation": ("", "-n 2 {host.rf} hostname"),
    "one slot each": ("", "-n 3 --host minsky1,minsky2 {two.rf} hostname"),
    "slots said": ("", "-n 3 --host minsky1:2,minsky2 {two.rf} hostname"),
    "full names": ("", "-n 2 --hostfile host.hosts {full.rf} hostname"),
    "host file by fabric name": ("", "-n 2 --hostfile mixed.hosts {host.rf} hostname"),
    "rank file by fabric name": ("", "-n 2 --hostfile host.hosts {far.rf} hostname"),
    "head by fabric name": ("", "-n 2 --hostfile host.hosts {head.rf} hostname"),
    "head, told to resolve": ("PRTE_MCA_prte_do_not_resolve=0", "-n 2 --hostfile host.hosts {head.rf} hostname"),
    "head, told otherwise": ("OMPI_MCA_prte_do_not_resolve=0", "-n 2 --hostfile host.hosts {head.rf} hostname"),
    "relative": ("", "-n 2 --hostfile host.hosts {relative.rf} hostname"),
    "slurm": (SLURM, "-n 2 {host.rf} hostname"),
    "slurm, alias": (SLURM, "-n 2 {ib.rf} hostname"),
    "slurm, head by alias": (f"{SLURM} PRTE_MCA_prte_do_not_resolve=0", "-n 2 {head.rf} hostname"),
    "slurm, relative": (SLURM, "-n 2 {relative.rf} hostname"),
    "pbs": (PBS, "-n 3 hostname"),
    "prtemca": ("", "--prtemca prte_if_include ib0 -n 2 --hostfile host.hosts {host.rf} hostname"),
    "agent rsh": ("", "--mca plm_rsh_agent /tmp/dialects/agent -n 2 --hostfile host.hosts {host.rf} hostname"),
    "agent ssh": ("", "--mca plm_ssh_agent /tmp/dialects/agent -n 2 --hostfile host.hosts {host.rf} hostname"),
    "interface of daemons": ("", "--mca {if} ib0 -n 2 --hostfile host.hosts {host.rf} hostname"),
    "tree": ("", "{radix} 1 -n 3 --host minsky1,minsky2,minsky3 hostname"),
    "no tree": ("", "{radix} 1 {star} 1 -n 3 --host minsky1,minsky2,minsky3 hostname"),
    "variable": ("FROM_HEAD=said", f"-x FROM_HEAD -n 2 --hostfile host.hosts {{host.rf}} {ENV}"),
    "variable unsaid": ("FROM_HEAD=said", f"-n 2 --hostfile host.hosts {{host.rf}} {ENV}"),
    "library path": (
        "LD_LIBRARY_PATH=/nowhere", f"--prefix {{prefix}} -x LD_LIBRARY_PATH -n 2 --hostfile host.hosts {{host.rf}} {ENV}"
    ),
    "prefix": ("", f"--prefix {{prefix}} -n 2 --hostfile host.hosts {{host.rf}} {ENV}"),
    "wrong prefix": ("", "--prefix /nowhere -n 2 --hostfile host.hosts {host.rf} hostname"),
    "dry": ("", "-n 2 --hostfile host.hosts {host.rf} --display map --runtime-options donotlaunch touch /tmp/dialects/ran"),
    "dry, wrong": ("", "-n 2 --hostfile host.hosts {ib.rf} --display map --runtime-options donotlaunch hostname"),
}  # fmt: skip
_DAEMONS = {4: "oob_tcp_if_include", 5: "prte_if_include"}
_RADIX = {4: "--mca routed_radix", 5: "--prtemca rml_base_radix"}
_STAR = {4: "--mca plm_rsh_no_tree_spawn", 5: "--prtemca plm_ssh_no_tree_spawn"}


class Said:
    """What one launch said, and whether it used the agent."""

    def __init__(self, code, out, agent):
        self.code, self.out, self.agent = code, out, agent

    @property
    def ran(self):
        """The hosts that answered."""
        return sorted(line for line in self.out.splitlines() if re.fullmatch(r"minsky\d", line))

    @property
    def refused(self):
        return self.code != 0 and REFUSED in self.out


def worded(words, major, prefix):
    """Fill in what is called otherwise."""
    for file in re.findall(r"\{([a-z]+\.rf)\}", words):
        words = words.replace(f"{{{file}}}", BY[major].format(file))
    words = words.replace("{prefix}", prefix).replace("{if}", _DAEMONS[major])
    return words.replace("{radix}", _RADIX[major]).replace("{star}", _STAR[major])


@pytest.fixture(scope="module", params=[4, 5])
def said(request, cluster):
    """Launch all of it with one version; return (major, what each said)."""
    lab, programs = cluster
    major, program = request.param, programs[request.param]
    prefix = "/usr" if major == 4 else program.removesuffix("/bin/mpirun")
    lines = ["rm -rf /tmp/dialects; mkdir -p /tmp/dialects/bin; cd /tmp/dialects"]
    lines += [f"printf %s {shlex.quote(text)} > {name}" for name, text in FILES.items()]
    lines += ["chmod +x agent bin/srun"]
    for name, (environment, words) in RUNS.items():
        lines += [
            f"echo; echo '@@ {name}'; rm -f agent.log",
            f"env {environment} timeout 60 {program} {worded(words, major, prefix)} < /dev/null 2>&1; r=$?",
            'echo; echo "@@@ $r $(cat agent.log 2>/dev/null | wc -l)"',
        ]  # fmt: skip
    # The agent has to be there for the daemons too.
    for node in lab.nodes[1:]:
        must(lab, node, "mkdir -p /tmp/dialects; cp /usr/bin/ssh /tmp/dialects/agent")
    _, out, err = at(lab, lab.nodes[0], "bash -s", "\n".join(lines).encode())
    found = re.findall(r"^@@ (.+)\n((?s:.*?))\n@@@ (\d+) (\d+)$", out, re.MULTILINE)
    assert [one[0] for one in found] == list(RUNS), err
    return major, {name: Said(int(code), text, int(agent)) for name, text, code, agent in found}


BOTH = ["minsky1", "minsky2"]


def test_rf_is_gone(said):
    major, runs = said
    if major == 4:
        assert runs["single dash rf"].ran == BOTH
    else:
        assert runs["single dash rf"].code == 213
        assert "unrecognized option" in runs["single dash rf"].out


def test_rankfile_is_deprecated(said):
    major, runs = said
    assert runs["rankfile"].ran == BOTH
    assert ("deprecated" in runs["rankfile"].out) is (major == 5)


def test_map_by_rankfile_is_new(said):
    major, runs = said
    if major == 4:
        assert runs["map-by"].code == 1
        assert "unrecognized modifier" in runs["map-by"].out
    else:
        assert runs["map-by"].ran == BOTH


def test_long_options_with_one_dash_are_taken_by_both(said):
    assert said[1]["single dash"].ran == BOTH


def test_a_rank_file_is_an_allocation_no_more(said):
    major, runs = said
    assert runs["no allocation"].refused is (major == 5)
    assert runs["no allocation"].ran == (BOTH if major == 4 else [])


def test_a_host_that_is_named_has_one_slot(said):
    major, runs = said
    assert runs["one slot each"].refused is (major == 5)
    assert runs["slots said"].ran == ["minsky1", *BOTH]


def test_domains_are_stripped(said):
    assert said[1]["full names"].ran == BOTH


def test_other_names_of_a_host_are_known_if_the_host_file_uses_them(said):
    """Of a node that is not the head: its daemon says its own name, and has not spoken when 4 compares."""
    major, runs = said
    assert runs["host file by fabric name"].refused is (major == 4)
    assert runs["host file by fabric name"].ran == ([] if major == 4 else BOTH)
    assert runs["rank file by fabric name"].refused


def test_the_head_s_other_name_is_known_to_5_only_if_it_may_resolve(said):
    major, runs = said
    assert runs["head by fabric name"].refused is (major == 5)
    assert runs["head, told to resolve"].ran == BOTH
    assert runs["head, told otherwise"].refused is (major == 5)


def test_relative_names_need_a_resource_manager_in_4(said):
    major, runs = said
    assert runs["relative"].ran == ([] if major == 4 else BOTH)
    assert ("no prior allocation" in runs["relative"].out) is (major == 4)
    assert runs["slurm, relative"].ran == BOTH


def test_in_a_job_of_slurm_no_other_name_can_be_forced(said):
    _, runs = said
    assert runs["slurm"].ran == BOTH
    assert runs["slurm, alias"].refused
    assert runs["slurm, head by alias"].refused


def test_debian_s_4_does_not_know_pbs(said):
    major, runs = said
    if major == 4:
        assert "not enough slots" in runs["pbs"].out
    else:
        assert runs["pbs"].ran == ["minsky1", *BOTH]


def test_parameters_of_the_launcher_have_an_option_of_their_own(said):
    major, runs = said
    if major == 4:
        assert 'unknown option "--prtemca"' in runs["prtemca"].out
    else:
        assert runs["prtemca"].ran == BOTH
    assert runs["interface of daemons"].ran == BOTH


def test_the_launcher_s_parameters_are_called_ssh_and_not_rsh(said):
    """5 translates the old name; 4 takes no notice of the new one."""
    major, runs = said
    assert (runs["agent rsh"].agent, runs["agent ssh"].agent) == (1, 0 if major == 4 else 1)


def test_a_tree_of_daemons_needs_a_mesh_and_a_star_does_not(said):
    _, runs = said
    assert runs["tree"].code != 0
    assert runs["tree"].ran == []
    assert runs["no tree"].ran == [*BOTH, "minsky3"]


def test_variables_reach_other_nodes_only_if_they_are_said(said):
    _, runs = said
    assert sorted(re.findall(r"^([01]):said:", runs["variable"].out, re.MULTILINE)) == ["0", "1"]
    assert re.findall(r"^1:(\w*):", runs["variable unsaid"].out, re.MULTILINE) == [""]


def test_a_library_path_that_is_said_replaces_that_of_the_prefix_in_5(said):
    major, runs = said
    of_prefix, of_user = (
        re.findall(r"^1::(.*)$", runs[name].out, re.MULTILINE)[0].split(":") for name in ("prefix", "library path")
    )
    assert any(part.endswith("/lib") for part in of_prefix)
    assert "/nowhere" in of_user
    assert (set(of_prefix) - {""} <= set(of_user)) is (major == 4)


def test_a_prefix_says_where_the_daemon_is(said):
    assert said[1]["wrong prefix"].code != 0
    assert said[1]["wrong prefix"].ran == []


def test_only_5_judges_a_rank_file_without_launching(said):
    major, runs = said
    if major == 4:
        assert runs["dry"].code != 0
    else:
        assert runs["dry"].code == 0
        assert "minsky2" in runs["dry"].out
        assert runs["dry, wrong"].refused


def test_openib_is_gone(cluster):
    lab, programs = cluster
    kinds = [
        set(re.findall(r"MCA btl: (\w+)", must(lab, lab.nodes[0], f"{programs[major].replace('mpirun', 'ompi_info')}")))
        for major in (4, 5)
    ]
    assert "openib" in kinds[0]
    assert "openib" not in kinds[1]
