"""The three dimensions of a DDL job, and the one place that numbers its ranks.

``XxYxZ`` is GPUs per host, hosts per rack, racks. The host list is ordered by rack
(``r1h1,r1h2,r2h1,r2h2``), yet the rack index runs fastest in the rank, then the host in its rack, then
the GPU: rank(x, y, z) = x*(Y*Z) + y*Z + z. Read off the rank files PowerAI's own generator wrote.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ddlcheck.errors import UsageError

#: Far more than any machine has; a slip of the finger must not fill the disk with a rank file.
MAX_RANKS = 1_000_000


class Dims(NamedTuple):
    """GPUs per host, hosts per rack, racks."""

    gpus: int
    hosts_per_rack: int
    racks: int

    @property
    def hosts(self) -> int:
        """How many hosts the job needs."""
        return self.hosts_per_rack * self.racks

    @property
    def ranks(self) -> int:
        """How many ranks the job has."""
        return self.gpus * self.hosts

    def rank(self, gpu: int, host: int) -> int:
        """Return the rank of a GPU of the host at this place of the list."""
        rack, place = divmod(host, self.hosts_per_rack)
        return gpu * self.hosts + place * self.racks + rack

    def __str__(self) -> str:
        return f"{self.gpus}x{self.hosts_per_rack}x{self.racks}"


def parse_dims(text: str) -> Dims:
    """Read ``4x2x3``; raises `UsageError`. All three are mandatory, as they were for ``rank_gen.py``."""
    if not re.fullmatch(r"[0-9]{1,7}(?:[xX][0-9]{1,7}){2}", text):
        raise UsageError(
            f"{text!r} is not XxYxZ, GPUs per host x hosts per rack x racks (one rack of two 4-GPU hosts: 4x2x1)"
        )
    dims = Dims(*(int(part) for part in text.lower().split("x")))
    if 0 in dims:
        raise UsageError(f"{text}: no dimension may be 0")
    if dims.ranks > MAX_RANKS:
        raise UsageError(f"{text} asks for {dims.ranks} ranks, more than {MAX_RANKS}")
    return dims


def check_hosts(dims: Dims, hosts: list[str]) -> None:
    """Raise `UsageError` unless there is one host for each place of the dimensions, each once."""
    if len(hosts) != dims.hosts:
        raise UsageError(
            f"{dims} needs {dims.hosts_per_rack} x {dims.racks} = {dims.hosts} "
            f"host{'s' * (dims.hosts != 1)}, and {len(hosts)} {'is' if len(hosts) == 1 else 'are'} named"
        )
    twice = next((host for host in hosts if hosts.count(host) > 1), "")
    if twice:
        raise UsageError(f"host {twice} is named twice")
