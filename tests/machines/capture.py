"""Keep what a cluster said, by node, check and the check's own name for it: the captured machines of our tests.

ddlcheck cluster INVENTORY --skip fabric --save DIR
python tests/machines/capture.py DIR > tests/machines/NAME.json
"""

from __future__ import annotations

import json
import pathlib
import sys

from ddlcheck import checks, wants
from ddlcheck.intent import Intent


def machine(folder: pathlib.Path) -> dict:
    kept = json.loads((folder / "intent.json").read_text())["nodes"]
    seen: dict = {}
    for node in kept:
        got = json.loads((folder / "seen" / f"{node}.json").read_text()).get("answers", {})
        for name, check in checks.load().items():
            asked = check.wants(Intent(node, kept[node], kept))
            found = {want: got[key] for want, w in asked.items() if (key := wants.key(w)) in got}
            if found:
                seen.setdefault(node, {})[name] = found
    return {"intent": kept, "seen": seen}


if __name__ == "__main__":
    json.dump(machine(pathlib.Path(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
