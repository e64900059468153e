"""Who tries to reach whom by ssh, how, and what the answer means; text, no opinions on nodes."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NamedTuple

    class Failure(NamedTuple):
        """Why an attempt failed: the reason, the side to look at, who mends it, ssh's own words."""

        reason: str
        side: str  # source or target
        remedy: str
        said: str
else:
    # typing.NamedTuple without importing typing: the node gate counts milliseconds.
    Failure = namedtuple("Failure", "reason side remedy said")  # noqa: PYI024

FULL, RADIX = 64, 64  # nodes; Open MPI's routed_radix (4.x) and rml_base_radix (5.x)
SEED = 64
MARK = "ddlcheck-mesh"
CUT = 2048  # what the agent keeps of an attempt's words
SSH_FAILED = 255  # ssh's own exit status; any other is the command's
PARALLEL = 8  # below sshd's default MaxStartups 10:30:100; what a site set is not known to be in force
#: Strict, silent, and never over a kept connection.
SSH = ("ssh", "-n", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5",
       "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "NumberOfPasswordPrompts=0",
       "-o", "UpdateHostKeys=no", "-o", "ClearAllForwardings=yes")  # fmt: skip
# Text on stderr -> (reason, the side to look at, who mends it), the first that fits. OpenSSH's own words.
CONFIG = (
    ("Bad configuration option", "bad config", "source", "inspect"),
    ("bad configuration options", "bad config", "source", "inspect"),
    ("Bad owner or permissions on", "bad config", "source", "inspect"),
    ("Can't open user config file", "bad config", "source", "inspect"),
)
REASONS = (
    *CONFIG,
    ("account has expired", "account expired", "target", "inspect"),
    ("Could not resolve hostname", "name", "source", "hosts_file"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "host key changed", "source", "ssh_mesh"),
    ("Host key verification failed", "host key unknown", "source", "ssh_mesh"),
    ("Connection refused", "refused", "target", "inspect"),
    ("No route to host", "no route", "target", "inspect"),
    ("Network is unreachable", "no route", "target", "inspect"),
    ("timed out", "timeout", "target", "inspect"),
    ("Permission denied", "key refused", "target", "ssh_mesh"),
    ("Too many authentication failures", "key refused", "target", "ssh_mesh"),
    ("kex_exchange_identification", "kex closed", "target", "ssh_mesh"),
    ("ssh_exchange_identification", "kex closed", "target", "ssh_mesh"),
    ("Connection closed by", "closed", "target", "inspect"),
    ("Connection reset by", "closed", "target", "inspect"),
)
WORDS = {
    "name": "does not resolve their names: look at /etc/hosts",
    "host key changed": "knows other host keys than they have: look at known_hosts, or was a node reinstalled",
    "host key unknown": "has no host key of theirs in known_hosts",
    "refused": "nothing listens on the ssh port: look at sshd and its ListenAddress",
    "no route": "no route to it, or a firewall rejects: look at its interface and nft",
    "timeout": "no answer: a firewall drops, or sshd hangs",
    "key refused": "the job user's key is refused",
    "kex closed": "sshd closes before the key exchange: MaxStartups or a ban (PerSourcePenalties, fail2ban)",
    "closed": "sshd closes the session: look at its log",
    "account expired": "the job user's account has expired there",
    "ended early": "the session ended before the command: a profile of the job user exits, or its shell runs none",
    "noisy shell": "the job user's shell prints before any command (.bashrc): it breaks scp and MPI daemons",
    "no ssh": "the ssh client is not installed",
}


def targets(nodes: Sequence[str], node: str, *, full: int = FULL) -> list[str]:
    """Return the nodes that a node tries to reach, its successor first: nobody is asked by all at once."""
    count, me = len(nodes), nodes.index(node)
    if count <= full:
        return [nodes[(me + step) % count] for step in range(1, count)]
    parent = _parent(me)
    found = {i for i in range(1, count) if _parent(i) == me} | ({parent} if parent >= 0 else set())
    found |= _matched(count, me)
    return [nodes[i] for i in sorted(found, key=lambda i: (i - me) % count) if i != me]


def children(count: int, rank: int) -> list[int]:
    """Return the daemons, of ``count`` with mpirun as 0, that this one starts when Open MPI starts a job by ssh."""
    return [one for one in range(1, count) if _parent(one) == rank]


def _parent(rank: int) -> int:
    """Return the parent of a daemon in Open MPI's radix tree (routed_radix.c), -1 for the first."""
    if rank == 0:
        return -1
    below, level = 0, 1  # daemons on the levels before the one above us, and on that
    while below + level + level * RADIX <= rank:
        below, level = below + level, level * RADIX
    return below + (rank - below - level) % level


def _matched(count: int, me: int) -> set[int]:
    """Return the partner of a node in a random matching, the same for whoever asks; of an odd count one has none."""
    import random  # noqa: PLC0415 - small clusters do without

    order = list(range(count))
    random.Random(SEED).shuffle(order)  # noqa: S311 - no secret
    partner = order.index(me) ^ 1
    return {order[partner]} if partner < count else set()


def bad_line(said: str, node: str) -> str:
    """Say which line of ssh's configuration on a node ssh does not take."""
    import re  # noqa: PLC0415 - only where something is wrong

    found = re.search(r"^(\S+?):? line (\d+): *([^\r\n]*)", said, re.MULTILINE)
    path = found[1] if found else next((w.strip(":,'\"") for w in said.split() if "/" in w and "ssh" in w), "")
    path = "~/.ssh/config" if not path or path.endswith("/.ssh/config") else path
    last = next((x.strip() for x in said.splitlines() if any(text in x for text, *_ in CONFIG)), "")
    return f"{path} line {found[2]} is bad on {node}: {found[3]}" if found else f"{path} is bad on {node}: {last}"


def classify(got: Any) -> Failure | None:  # noqa: ANN401 - JSON of a node
    """Say why one attempt failed; None when it did not."""
    record = got if isinstance(got, dict) else {}
    err, out, status = str(record.get("err", "")), str(record.get("out", "")), record.get("rc")
    if record.get("why"):
        return Failure("no ssh" if record["why"] == "missing" else "failed", "source", "inspect", err[:200])
    if status == 0 and not isinstance(status, bool):
        if out == f"{MARK}\n":
            return None
        if MARK in out or len(out) >= CUT:
            return Failure("noisy shell", "target", "inspect", out[:200])
    far = isinstance(status, int) and not isinstance(status, bool) and 0 <= status < SSH_FAILED
    if far and "account has expired" not in err:  # the session was there: these are the far shell's words
        return Failure("ended early", "target", "inspect", (out.strip() or err.strip())[:200])
    for text, reason, side, remedy in REASONS:
        if text in err:
            words = err.strip()
            return Failure(reason, side, remedy, words[:400] if reason == "bad config" else words[-200:])
    late = status is None and "not done after" in err
    words = err.strip() or f"exit status {status}"
    return Failure("timeout" if late else "failed", "target", "inspect", words[-200:])
