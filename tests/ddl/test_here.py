"""What this machine itself has."""

from __future__ import annotations

import pytest

from ddlcheck.ddl import here


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("lo", True),
        ("ib99", False),
        ("127.0.0.0/8", True),
        ("127.9.9.9/8", True),
        ("203.0.113.0/24", False),
        ("::1/128", None),
    ],
)
def test_an_interface_or_network_is_ours_or_not(word, known):
    found = here.carries(word)
    assert isinstance(found, bool)
    assert known is None or found is known


def test_what_is_no_network_is_no_answer():
    with pytest.raises(ValueError, match="nonsense"):
        here.carries("nonsense/99")
