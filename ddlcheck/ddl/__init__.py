"""Rank files and launch lines: the heirs of PowerAI's ``rank_gen.py`` and ``ddlrun``."""
