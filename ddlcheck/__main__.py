"""`python -m ddlcheck` is `ddlcheck`."""

import sys


def run() -> int:
    """Run the command line; an interrupt while it is still being loaded must not read as a sick cluster (1)."""
    try:
        if sys.argv[1:2] == ["node"]:  # the gate: argparse alone would take longer than it does
            from ddlcheck.gates.main import main as gate  # noqa: PLC0415

            return gate(sys.argv[2:], "ddlcheck node")
        from ddlcheck.cli import main  # noqa: PLC0415 - inside, to be guarded

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
