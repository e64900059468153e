"""A stand-in for the mm commands of IBM Storage Scale, installed under each of their names.

Prints what IBM's documents show for ``-Y``, and behaves as they describe: starting takes a moment, a node may not get
its quorum, a file system may be mounted for the daemon and not for the kernel. State is in a file beside it; ``hang``
holds the names of commands that never end. It mounts tmpfs: no other kernel than Scale's has its type.
"""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
STATE = os.path.join(HERE, "state.json")
FRESH = {
    "state": "down",
    "mounted": [],
    "half": False,
    "hang": [],
    "verbs": "started",
    "autoload": "no",
    "starts": "active",
    "points": {"fs1": "/gpfs/fs1"},
    "health": "HEALTHY",
}


def load():
    try:
        with open(STATE) as f:
            return {**FRESH, **json.load(f)}
    except FileNotFoundError:
        return dict(FRESH)


def save(state):
    with open(STATE, "w") as f:
        json.dump(state, f)


def main():
    name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
    state, host = load(), os.uname().nodename.split(".")[0]
    if name in state["hang"]:
        time.sleep(3600)
    if name == "mmgetstate":
        print(
            "mmgetstate::HEADER:version:reserved:reserved:nodeName:nodeNumber:state:quorum:nodesUp:totalNodes:remarks:cnfsState:daemonShortName:"
        )
        print("mmgetstate::0:1:::%s:1:%s:2:3:4:quorum%%20node:(undefined):%s:" % (host, state["state"], host))
    elif name == "mmhealth":
        print(
            "mmhealth:State:HEADER:version:reserved:reserved:node:component:entityname:entitytype:status:laststatuschange:"
        )
        print(
            "mmhealth:Event:HEADER:version:reserved:reserved:node:component:entityname:entitytype:event:arguments:activesince:identifier:ishidden:"
        )
        print(
            "mmhealth:State:0:1:::%s:GPFS:%s:NODE:%s:2026-08-01 10%%3A00%%3A00.000000 CEST:"
            % (host, host, state["health"])
        )
    elif name == "mmlsmount":
        print(
            "mmlsmount::HEADER:version:reserved:reserved:localDevName:realDevName:owningCluster:totalNodes:nodeIP:nodeName:clusterName:accessMode:"
        )
        if words[0] in state["mounted"]:
            print("mmlsmount::0:1:::%s:%s:c1.example:1:192.0.2.1:%s:c1.example:RW:" % (words[0], words[0], host))
    elif name == "mmfsadm":
        print("VERBS RDMA status: %s" % state["verbs"])
    elif name == "mmlsconfig":
        print("mmlsconfig::HEADER:version:reserved:reserved:configParameter:value:nodeList:")
        print("mmlsconfig::0:1:::autoload:%s::" % state["autoload"])
    elif name == "mmchconfig":
        save(dict(state, autoload=words[0].partition("=")[2]))
    elif name == "mmstartup":
        save(dict(state, state=state["starts"]))
    elif name == "mmmount":
        point = state["points"][words[0]]
        if not state["half"]:
            os.makedirs(point, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", words[0], point], check=True)
        save(dict(state, mounted=[*state["mounted"], words[0]]))
    else:
        sys.exit("%s is not among the commands of this stand-in" % name)


main()
