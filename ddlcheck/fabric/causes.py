"""Why a launch failed, from the launcher's own words: first match wins, the most telling first."""

from __future__ import annotations

import re

#: (pattern, cause, remedy): the remedy is a role, or one of `ddlcheck.verdict.VERBS`.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    ((r"Please set max locked memory|Failed to create a completion queue|RLIMIT_MEMLOCK"
      r"|ibv_(reg_mr|create_[cs]?q)\w*\(?.*Cannot allocate memory"),
     "the ranks may not lock enough memory for RDMA", "memlock"),
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
     "ssh from the head does not trust a node's host key", "ssh_mesh"),
    (r"Permission denied \(|Too many authentication failures",
     "ssh from the head is refused by a node", "ssh_mesh"),
    (r"Could not resolve hostname|Name or service not known|unable to resolve|getaddrinfo",
     "the head cannot resolve a node's name", "hosts_file"),
    (r"ssh: connect to host \S+ port \d+: (Connection refused|Connection timed out|No route to host)",
     "the head cannot reach a node by ssh", "ssh_mesh"),
    (r"(orted|prted): (command )?not found|(orted|prted).{0,40}No such file|bash: .*/(orted|prted)",
     "a node has no Open MPI daemon where ssh looks for it (not installed, or another prefix)", "openmpi"),
    (r"No space left on device|session directory|shmem.*space",
     "a node has no space left for the session directory (TMPDIR or /tmp is full)", "inspect"),
    (r"error while loading shared libraries|cannot open shared object file",
     "a library of MPI is missing on a node", "openmpi"),
    ((r"version mismatch|different versions? of Open MPI|UNPACK-PAST-END|Data unpack would read past end"
      r"|PACK-MISMATCH|incompatible version"),
     "the nodes run different versions of MPI", "openmpi"),
    ((r"PML add procs failed|PML \S+ cannot be selected|mca_pml_base_open"
      r"|No components were able to be opened in the pml"),
     "the transport that was asked for cannot be used between the nodes (PML add procs)", "openmpi"),
    (r"Unreachable.*error|At least one pair of MPI processes are unable to reach each other",
     "MPI sees no common network between the nodes (interfaces offered, or a transport left out)", "interfaces"),
    (r"UCX\s+ERROR.*no (usable|active) |network device '[^']*' is not available|no usable transports",
     "UCX does not find the device it is told to use", "ib_link"),
    (r"failed to TCP connect|connect\(\) to \S+ failed|btl_tcp_endpoint|tcp_peer_send_blocking|No route to host",
     "a node's MPI address cannot be reached (firewall, or an address that exists on several nodes)", "interfaces"),
    (r"There are not enough slots|not allocated|bad-host|already been filled",
     "the launcher does not accept the host list", "openmpi"),
    (r"unrecognized (option|modifier)|unknown option",
     "this mpirun does not know one of the options", "inspect"),
    (r"mpirun: (command )?not found|cannot run mpirun|mpirun.*No such file",
     "there is no mpirun on the head", "openmpi"),
    (r"run mpirun as root|allow-run-as-root", "mpirun refuses to run as root", "inventory"),
    (r"multiple definitions\s+of the slot count", "two names in the host list are one node", "inventory"),
    ((r"ORTE (was unable to|does not know how)|PRTE was unable|ORTE_ERROR_LOG"
      r"|unable to reliably start one or more daemons|lost (connection|communication)"),
     "the launcher could not start its daemon on a node, or lost it", "ssh_mesh"),
    (r"noticed that process|exited on signal|exited improperly|exiting improperly",
     "a rank ended before its time", "inspect"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), cause, remedy) for pattern, cause, remedy in _CAUSES)


def classify(talk: str) -> dict[str, str]:
    """Return ``{"cause", "remedy", "text"}``: one sentence, what mends it, and the line that says so."""
    for line_wise in (True, False):
        for pattern, cause, remedy in _COMPILED:
            for text in talk.splitlines() if line_wise else (talk,):
                if found := pattern.search(text):
                    shown = text if line_wise else found.group(0)
                    return {"cause": cause, "remedy": remedy, "text": " ".join(shown.split())[:300]}
    last = next((line.strip() for line in reversed(talk.splitlines()) if line.strip(" -")), "")
    return {"cause": "the launch failed", "remedy": "inspect", "text": last[:300]}
