"""What a run of site.yml that changes nothing costs, on a practice cluster.

    python bench/site.py [--nodes 4] [--rounds 3]

Brings up a practice cluster (root, Debian or Ubuntu), makes it ready, and then times further runs, which have to
change nothing. Prints seconds for the whole, and for each role by itself (`--tags ROLE`, whose start-up is a run of
no role).
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

from ddlcheck import declared
from ddlcheck.lab import lifecycle

PLAYBOOK = pathlib.Path(sys.executable).parent / "ansible-playbook"


def run(inventory: pathlib.Path, *words: str) -> tuple[float, str]:
    """Run site.yml; return wall seconds and what it said."""
    began = time.monotonic()
    done = subprocess.run(
        [str(PLAYBOOK), "-i", str(inventory), "site.yml", *words],
        cwd=declared.tree(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return time.monotonic() - began, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    roles = sorted(path.name for path in (declared.tree() / "roles").iterdir())
    lab = lifecycle.up("bench", args.nodes, lambda _: None)
    try:
        first, _ = run(lab.inventory)
        rounds = [run(lab.inventory) for _ in range(args.rounds)]
        changed = sum(int(n) for _, said in rounds for n in re.findall(r"changed=(\d+)", said))
        whole = statistics.median(seconds for seconds, _ in rounds)
        print(f"{args.nodes} nodes, {len(roles)} roles, {args.rounds} rounds, {os.cpu_count()} cores; medians")
        print(f"first run {first:.1f} s; then {whole:.1f} s, changed={changed}: {whole / len(roles):.2f} s a role")
        nothing = statistics.median(run(lab.inventory, "--tags", "none")[0] for _ in range(args.rounds))
        print(f"start-up of Ansible and of the connections {nothing:.2f} s")
        for role in roles:
            seconds = statistics.median(run(lab.inventory, "--tags", role)[0] for _ in range(args.rounds)) - nothing
            print(f"  {role:12} {seconds:5.2f} s")
    finally:
        lifecycle.down("bench")


if __name__ == "__main__":
    main()
