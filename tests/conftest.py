"""What several test packages share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from ddlcheck.lab import Lab, lifecycle


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A practice cluster of four nodes as they come from the rack; whoever breaks one mends it."""
    name = f"t{os.getpid() % 10**7}"
    try:
        yield lifecycle.up(name, 4, lambda sentence: sys.stderr.write(f"{sentence}\n"))
    finally:
        lifecycle.down(name)
