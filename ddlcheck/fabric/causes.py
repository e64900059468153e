"""Why a launch failed, from the launcher's own words: first match wins, the most telling first."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is said where nothing is known.
UNKNOWN = "the launch failed"
_FULL = "the temporary directory (/tmp or TMPDIR) of {node} is full or cannot be written"
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
    (r"\S*(orted|prted): Permission denied",
     "Open MPI's daemon is there and may not be executed (chmod a+x, or a file system mounted noexec)", "inspect"),
    (r"(orted|prted): (command )?not found|(orted|prted).{0,40}No such file|bash: .*/(orted|prted)",
     "a node has no Open MPI daemon where ssh looks for it (not installed, or another prefix)", "openmpi"),
    (r"/dev/shm\b.*(No space left|Disk quota)|(No space left|Disk quota).*/dev/shm\b",  # noqa: S108 - a message
     "/dev/shm of {node} is full", "inspect"),  # noqa: S108
    ((r"No space left on device|Disk quota exceeded|[a-z]+_os_dirpath_create|(orte|prte)_session_dir|session_dir\.c"
      r"|session directory|OUT-OF-RESOURCE in file \S*dstore|CANNOT CREATE FIFO|not enough space for \S+ \(the shared"
      r"|Impossible to open the file \S+ in write mode|shmem.*space"),
     _FULL, "inspect"),
    (r"error while loading shared libraries|cannot open shared object file",
     "a library of MPI is missing on a node", "openmpi"),
    ((r"version mismatch|different versions? of Open MPI|PACK-MISMATCH|incompatible version"
      r"|(UNPACK-PAST-END|Data unpack would read past end)(?!.*show_help\.c)"),
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
    (r"mpirun: Permission denied",
     "mpirun is there on the head and may not be executed (chmod a+x, or a file system mounted noexec)", "inspect"),
    (r"mpirun: (command )?not found|cannot run mpirun|mpirun.*No such file",
     "there is no mpirun on the head", "openmpi"),
    (r"run mpirun as root|allow-run-as-root", "mpirun refuses to run as root", "inventory"),
    (r"multiple definitions\s+of the slot count", "two names in the host list are one node", "inventory"),
    # A full /tmp on the head does this too (4.1.4), as a node's message arrives without its text.
    (r"(UNPACK-PAST-END|Data unpack would read past end).*show_help\.c",
     "the launcher's own message could not be shown (on {node}): look at free space of /tmp and at equal versions",
     "inspect"),
    ((r"ORTE (was unable to|does not know how)|PRTE was unable|ORTE_ERROR_LOG"
      r"|unable to reliably start one or more daemons|lost (connection|communication)"),
     "the launcher could not start its daemon on a node, or lost it", "ssh_mesh"),
    (r"noticed that process|exited on signal|exited improperly|exiting improperly",
     "a rank ended before its time", "inspect"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), cause, remedy) for pattern, cause, remedy in _CAUSES)

#: Who speaks, at the beginning of a line (`[ib1:04155]`), and a node that a text names.
_SPEAKER = re.compile(r"\[([A-Za-z0-9][\w.-]*):\d+\]\s*")
_NAMED = re.compile(r"\b(?:on (?:host|node)|(?:Local host|Hostname|Host|Node):)\s+([A-Za-z0-9][\w.-]*)", re.IGNORECASE)
_RULE = re.compile(r"[-=]{4,}$")
_SAYS_SO = re.compile(r"\berrors?\b|\bfail(s|ed|ure)\b|\bfatal\b|\bcannot\b|\bunable\b", re.IGNORECASE)


def classify(talk: str) -> dict[str, str]:
    """Return ``{"cause", "remedy", "text"}``: one sentence, what mends it, and the line that says so."""
    lines = talk.splitlines()
    for line_wise in (True, False):
        for pattern, cause, remedy in _COMPILED:
            for i, text in enumerate(lines if line_wise else (talk,)):
                if found := pattern.search(text):
                    shown = text if line_wise else found.group(0)
                    said = cause
                    if "{node}" in cause:
                        at = i if line_wise else 0
                        said = cause.replace("{node}", _node(lines, pattern, at))
                        shown = _paragraph(lines, at) if line_wise else shown
                    return {"cause": said, "remedy": remedy, "text": " ".join(shown.split())[:300]}
    return {"cause": UNKNOWN, "remedy": "inspect", "text": _telling(lines)[:300]}


def _node(lines: Sequence[str], pattern: re.Pattern[str], at: int) -> str:
    """Return who says what ``pattern`` finds, or else whom the help text around it names."""
    for line in [lines[at], *lines]:
        if pattern.search(line) and (found := _SPEAKER.match(line.strip()) or _NAMED.search(line)):
            return found.group(1).rstrip(".")
    start, end = _blocks(lines).get(at, (at, at))
    found = _NAMED.search("\n".join(lines[start:end]))
    return found.group(1).rstrip(".") if found else "a node"


def _blocks(lines: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return, for every line of a help text, where the text begins and ends: between two rules of dashes."""
    rules = [i for i, line in enumerate(lines) if _RULE.match(line.strip())]
    # They come in twos: what is between the second of one text and the first of the next is in neither.
    pairs = zip(rules[::2], rules[1::2], strict=False)
    return {i: (first + 1, last) for first, last in pairs for i in range(first + 1, last)}


def _paragraph(lines: Sequence[str], at: int) -> str:
    """Return what belongs to a line of a help text, up to its empty lines; another line as it is."""
    start, end = _blocks(lines).get(at, (at, at + 1))
    first = next((i + 1 for i in range(at, start - 1, -1) if not lines[i].strip()), start)
    last = next((i for i in range(at, end) if not lines[i].strip()), end)
    return " ".join(" ".join(lines[first:last]).split())


def _telling(lines: Sequence[str]) -> str:
    """Return what says most in a talk that is not known: an error, a help text, the last line, a banner."""
    said = {i: _SPEAKER.sub("", line.strip(), count=1) for i, line in enumerate(lines)}
    said = {i: text for i, text in said.items() if text.strip(" -=") and text != "[…]"}
    plain = {i: text for i, text in said.items() if not text.startswith("***")}
    blocks = _blocks(lines)
    at = next((i for i, text in plain.items() if _SAYS_SO.search(text)), None)
    if at is None:
        at = next((i for i in plain if i in blocks), None)
    if at is not None:
        return _paragraph(lines, at)
    if plain:
        return " ".join(lines[max(plain)].split())
    return next(iter(said.values()), "").strip("* ")
