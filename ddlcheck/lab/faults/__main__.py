"""Prints docs/faults.md."""

from ddlcheck.lab.faults import table

print(table(), end="")  # noqa: T201 - its purpose
