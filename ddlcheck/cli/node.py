"""`ddlcheck node`: what one node can prove by itself, on the node itself; `ddlcheck-node` is the same there."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = "prove this machine alone, in milliseconds, against the intent file that `ddlcheck intent` made"


def main(words: Sequence[str]) -> int:
    """Run the gate; it parses its own words, because argparse takes longer than all the gate does."""
    from ddlcheck.gates import main as gate  # noqa: PLC0415

    return gate.main(words, "ddlcheck node")
