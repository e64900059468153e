"""The gate on a node, and the adapters that carry its one verdict to a scheduler.

What the modules agree on
-------------------------
**Intent file** (`promised`), ``/etc/ddlcheck/intent.json``, one a node, made by ``ddlcheck intent`` on the controller::

    {"hash":"<sha256 of everything after made>","made":<epoch>,"declared":"<digest of node, values, cluster>",
     "addresses":[…],"background":["clock",…],"cluster":{"fields":[…],"nodes":[["n1",…],…]},"ddlcheck":"0.1.0",
     "gate":["hostname",…],"names":[…],"node":"n1","values":{…},"version":2}

It is refused, with one sentence and exit status 2, when it is cut short, edited, of another version, too large, no
regular file, another user's, writable by others, for another host, or older than ``health_gate_intent_max_age``.

**Gate** (`node`): ``node.verdicts(path, timeout=10.0)`` returns a `result.Result` with ``exit``, ``node``,
``verdicts`` (`ddlcheck.verdict.Verdict`), ``declared`` (the intent's digest), ``refused`` (a sentence, or empty) and
``reason()`` (one line for a scheduler). ``exit`` is 0 ready, 1 not ready, 2 the intent file cannot be used, 3 could
not tell: **0 is the only yes**. It judges in a child, which is killed and not waited for when time is up; what it had
judged by then is kept, and what it hung at is UNKNOWN. ``promised.load(path).intent`` holds the values.

**Status** (`status`), ``/run/ddlcheck/status.json``: the last `result.Result` and when it was made, by boot id and
the clock that counts since the boot (a clock step freshens nothing) as well as by wall clock.
``status.write(result)`` replaces it atomically; ``status.read(max_age)`` returns a `status.Kept` (``.result``,
``.age`` in seconds, ``.time``) or raises `ddlcheck.errors.NotSeen` with one sentence: missing, stale, from before the
last boot, another user's, a link.

**Background tier** (`background`), ``/run/ddlcheck/background.json``: what the timer found with the wants that start
processes or ask name services (`ddlcheck.wants.slow`): the verdicts of whole checks, and the answers for checks with
``TIER = "gate"``. The gate takes them when they are at most ``health_gate_max_age`` seconds old, and says UNKNOWN
otherwise.

**On a node**: this package and what it needs lie in ``/usr/local/lib/ddlcheck/DIGEST/ddlcheck/`` (`payload.modules`
lists the files), compiled; ``/usr/local/sbin/ddlcheck-node`` starts them with ``python3 -I -S`` (Python >= 3.8,
standard library only). What is on the fast path imports none of json, re, enum, argparse, subprocess, pathlib,
typing; `tests/gates/test_startup.py` counts. A module that an adapter runs on nodes can be started likewise: copy the
launcher's first lines.

**Variables** of the role ``health_gate``, all of which stand in the intent file's ``values``:
``health_gate_scheduler`` (none, slurm, pbs, lsf), ``health_gate_drain`` (whether the scheduler's hooks may take the
node out, or only say so), ``health_gate_breaker_share`` and ``health_gate_breaker_window`` (of which share of the
nodes, within how many seconds, one promise may fail before the promise is suspected and not the nodes),
``health_gate_interval`` (seconds between background runs), ``health_gate_max_age``, ``health_gate_timeout``,
``health_gate_intent_max_age``, ``health_gate_skip`` (promises left out), ``health_gate_textfile`` (where node
exporter looks, or empty).
"""
