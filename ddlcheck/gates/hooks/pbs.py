# Installed by ddlcheck: an OpenPBS hook that asks this node's gate, at the start of a job and from time to time.
# It runs within PBS's own Python, needs nothing but its standard library, and decides nothing: the gate does.
"""Events: execjob_begin (the job goes elsewhere), exechost_periodic (the node goes offline, and comes back)."""

import json
import os
import signal
import subprocess
import time

import pbs

GATE = "/usr/local/sbin/ddlcheck-node"
TAG = "ddlcheck:"
#: `import hook ... application/x-config` overrides these.
CONFIG = {"gate": [GATE], "timeout": 10, "drain": True}


def configured():
    """Return the settings; a file that cannot be read must not become a gate that lets everything through."""
    path = getattr(pbs, "hook_config_filename", None) or os.environ.get("PBS_HOOK_CONFIG_FILE")
    if not path:
        return dict(CONFIG)
    with open(path) as f:
        return dict(CONFIG, **json.load(f))


def ask(config):
    """Return (exit status, one line); a gate that does not end is killed and not waited for."""
    words = [*config["gate"], "--timeout", str(config["timeout"])]
    try:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as exc:
        return 3, "%s cannot be started: %s" % (words[0], exc.strerror)
    with child.stdout:
        if not ended(child, config["timeout"] + 5):
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except OSError:
                pass
            ended(child, 1)  # one in D state stays, and is left behind
            return 3, "%s did not end within %d s" % (words[0], config["timeout"] + 5)
        lines = child.stdout.read(65536).decode("utf-8", "replace").splitlines()
    return child.returncode, (lines[0] if lines else "exit status %d" % child.returncode)[:200]


def ended(child, seconds):
    """Whether a child ended within so many seconds."""
    end = time.time() + seconds
    while child.poll() is None:
        if time.time() > end:
            return False
        time.sleep(0.01)
    return True


def kept(name):
    """Return the (state, comment) that the server has of the node, or (None, None): then nothing of it is touched."""
    try:
        node = pbs.server().vnode(name)
        return node.state, node.comment or ""
    except Exception:
        return None, None


def drain(event, name, line, config):
    """Take the node offline, unless somebody else did."""
    state, comment = kept(name)
    if not config["drain"]:
        pbs.logmsg(pbs.LOG_WARNING, "%s would take %s offline: %s" % (TAG, name, line))
    elif state is not None and state & pbs.ND_OFFLINE and not comment.startswith(TAG):
        pbs.logmsg(pbs.LOG_WARNING, "%s %s is offline already (%s): %s" % (TAG, name, comment, line))
    else:
        event.vnode_list[name].state = pbs.ND_OFFLINE
        event.vnode_list[name].comment = "%s %s" % (TAG, line)
        pbs.logmsg(pbs.LOG_WARNING, "%s %s is taken offline: %s" % (TAG, name, line))


def resume(event, name, config):
    """Bring the node back, if it was this hook that took it away."""
    state, comment = kept(name)
    if state is not None and state & pbs.ND_OFFLINE and comment.startswith(TAG):
        if config["drain"]:
            event.vnode_list[name].state = pbs.ND_FREE
            event.vnode_list[name].comment = None
        pbs.logmsg(pbs.LOG_WARNING, "%s %s is ready again" % (TAG, name))


def main():
    event, name = pbs.event(), pbs.get_local_nodename()
    try:
        config = configured()
        status, line = ask(config)
    except Exception as exc:
        config, status, line = dict(CONFIG), 3, "the hook failed: %s: %s" % (type(exc).__name__, exc)
    if status == 0:
        if event.type == pbs.EXECHOST_PERIODIC:
            resume(event, name, config)
        return event.accept()
    drain(event, name, line, config)
    if event.type == pbs.EXECJOB_BEGIN and config["drain"]:
        event.job.rerun()
        return event.reject("%s %s: %s" % (TAG, name, line))
    return event.accept()


main()
