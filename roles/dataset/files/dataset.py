"""Data sets on a node: a manifest of them, copies that become visible whole or not at all, and their bytes proven.

Run as ``python3 dataset.py VERB JSON`` with VERB one of manifest, stage, quick, full, state; prints one JSON object a
line, ``{"progress": …}`` while at work and ``{"result": …}`` or ``{"error": …}`` at the end. Standard library,
Python >= 3.6.

The modules beside this one are its parts. Where one text has to be the whole program (it is sent to nodes, and leaves
nothing there), join.py puts them before it, in the order of the file ``modules``.
"""

import hashlib
import json
import sys

from dataset_differences import full, quick, quick_or_trouble  # noqa: F401 - the agent calls it
from dataset_manifest import make
from dataset_places import state
from dataset_stage import stage
from dataset_words import Trouble, out


def main(words):
    """Do what a verb says; its spec is JSON."""
    verb, spec = words[0], json.loads(words[1])
    # Who started us and went away needs no answer; what is complete by then stays.
    try:
        if verb == "manifest":
            text = make(spec["root"], lambda done: out("progress", done))
            out("result", {"manifest": text, "digest": hashlib.sha256(text.encode()).hexdigest()})
        else:
            out("result", {"stage": stage, "quick": quick, "full": full, "state": state}[verb](spec))
    except Trouble as exc:
        out("error", str(exc))
    except OSError as exc:
        out("error", "%s: %s" % (exc.filename or spec.get("dest", ""), exc.strerror or exc))


if __name__ == "__main__":
    main(sys.argv[1:])
