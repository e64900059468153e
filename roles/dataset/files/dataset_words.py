"""What the program says: one JSON object a line, and what keeps it from going on in one sentence."""

import json
import sys


class Trouble(Exception):  # noqa: N818 - it is no error of ours
    """What keeps us from going on, in one sentence."""


def out(kind, body):
    """Print ``{kind: body}`` now."""
    sys.stdout.write(json.dumps({kind: body}) + "\n")
    sys.stdout.flush()
