"""One line on success, one line for each trouble: as the node gate says it, too."""

from __future__ import annotations

from ddlcheck.lines import SAYS, clean, remedy_words, render

__all__ = ["SAYS", "clean", "remedy_words", "render"]
