"""What the tests that launch between nodes need of a practice cluster."""

import concurrent.futures
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
#: What the verbs import on a node, beside ours.
PACKAGES = (
    "ClusterShell", "paramiko", "yaml", "nacl", "bcrypt", "cryptography", "cffi", "invoke", "netifaces",
    "ansible", "jinja2", "markupsafe", "packaging", "resolvelib",
)  # fmt: skip
FILES = (
    "_cffi_backend*.so", "_netifaces*.so", "paramiko-*.dist-info", "cryptography-*.dist-info", "ansible_core-*.dist-info",
    "[Jj]inja2-*.dist-info", "[Mm]arkup[Ss]afe-*.dist-info", "packaging-*.dist-info", "resolvelib-*.dist-info",
)  # fmt: skip
REFUSED = "The rankfile that was used claimed that a host was either not\nallocated"
#: Stands where srun stands: the nodes of -w or --nodelist, the rest is the command. Slurm tells each task its place.
SRUN = """#!/bin/sh
exec 3<&0
nodes=
while [ $# -gt 0 ]; do case $1 in
  -w) nodes=$2; shift 2;; --nodelist=*) nodes=${1#*=}; shift;; -*) shift;; *) break;; esac; done
place=0
for node in $(echo "$nodes" | tr , ' '); do
  ssh -o BatchMode=yes "$node" "SLURM_JOBID=7 SLURM_STEPID=0 SLURM_NODEID=$place SLURM_PROCID=$place SLURM_LOCALID=0 $*" <&3 &
  place=$((place + 1))
done
wait
"""
#: The environments of jobs on two nodes with two slots each.
SLURM = (
    "PATH=/tmp/dialects/bin:$PATH SLURM_JOBID=7 SLURM_JOB_ID=7 SLURM_NODELIST=minsky[1-2] SLURM_JOB_NODELIST=minsky[1-2] "
    "SLURM_TASKS_PER_NODE='2(x2)' SLURM_JOB_NUM_NODES=2 SLURM_NNODES=2"
)
PBS = "PBS_NODEFILE=/tmp/dialects/nodefile PBS_ENVIRONMENT=PBS_BATCH PBS_JOBID=7.pbs"


def at(lab, node, command, stdin=b""):
    done = subprocess.run(lab.ssh(node, command), input=stdin, capture_output=True, check=False, timeout=300)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def must(*words):
    code, out, err = at(*words)
    assert code == 0, err + out
    return out


def packed(folder, names):
    return subprocess.run(["tar", "cz", "-C", str(folder), *names], capture_output=True, check=True).stdout


def prepare(lab, five):
    """Give the nodes names, a key of the first one, Open MPI 4 and 5, and the first one the verbs."""
    first = lab.nodes[0]
    library = pathlib.Path(pytest.__file__).parents[1]
    names = [name for name in PACKAGES if (library / name).is_dir()]
    names += [path.name for pattern in FILES for path in library.glob(pattern)]
    must(
        lab, first, "sudo mkdir -p /opt/ddl && sudo tar xz -C /opt/ddl", packed(ROOT, ["ddlcheck", "roles", "site.yml"])
    )
    must(lab, first, "sudo tar xz -C /opt/ddl", packed(library, names))
    key = must(lab, first, "ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519; cat .ssh/id_ed25519.pub").encode()
    # The short name comes first: a full one is not what Open MPI is to compare.
    hosts = "".join(
        f"{n.address} {n.name} {n.name}.lab.example\n{n.fabric_address} {n.fabric_name}\n" for n in lab.nodes
    ).encode()
    programs = packed(five.parents[2], [five.parents[1].name])

    def one(node):
        must(lab, node, "sudo apt-get install -y -q openmpi-bin")
        must(lab, node, "cat >> .ssh/authorized_keys", key)
        must(lab, node, "sudo sed -i /127.0.1.1/d /etc/hosts; sudo tee -a /etc/hosts", hosts)
        must(lab, node, f"sudo mkdir -p {five.parents[2]}; sudo tar xz -C {five.parents[2]}", programs)

    with concurrent.futures.ThreadPoolExecutor(len(lab.nodes)) as pool:
        list(pool.map(one, lab.nodes))
    every = " ".join(name for node in lab.nodes for name in (node.name, node.fabric_name))
    must(lab, first, f"ssh-keyscan -t ed25519 {every} >> .ssh/known_hosts")
