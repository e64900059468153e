"""The agent: sent to a node over stdin, answers the wants, and leaves nothing behind.

It needs nothing but Python >= 3.6 and its standard library, and holds no opinions. The protocol is in
`ddlcheck.probes.protocol`. Whatever it starts runs in a process group of its own, has a deadline, and is
killed when stdin closes, because then nobody is waiting for the answer any more. A child that does not die
when it is killed (D state) is *not* waited for: it is reported as hung.
"""

import base64
import glob
import json
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import threading
import time

MAX = 256 * 1024
CHILDREN = set()  # type: set[subprocess.Popen[bytes]]
LOCK = threading.Lock()
#: What the session that started us was like: set by `main`, from before any privilege was taken.
SESSION = {}  # type: dict[str, str]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def answer(**fields):
    return fields


def failed(exc):
    """Say why something could not be looked at."""
    if isinstance(exc, FileNotFoundError):
        return answer(why="missing", err=str(exc))
    if isinstance(exc, PermissionError):
        return answer(why="denied", err=str(exc))
    return answer(why="failed", err="%s: %s" % (type(exc).__name__, exc))


def text_of(data):
    return data.decode("utf-8", "replace")


def read_file(path):
    with open(path, "rb") as f:
        data = f.read(MAX + 1)
    if len(data) > MAX:
        raise ValueError("%s holds more than %d bytes" % (path, MAX))
    return text_of(data)


def op_read(want):
    return answer(text=read_file(want["path"]))


def op_read_all(want):
    out = {}
    for pattern in want["patterns"]:
        # C-locale order: the order in which pam_limits and friends read such directories.
        for path in sorted(glob.glob(pattern), key=os.fsencode):
            try:
                out[path] = read_file(path)
            except IsADirectoryError:
                continue
    return answer(data=out)


def become(user):
    """Return (preexec function, environment) for running as a user; looked up before the fork."""
    env = {"PATH": PATH, "LC_ALL": "C", "LANG": "C"}
    if user == "@session":
        user = SESSION["user"]
    if not user:
        env.update(HOME=os.path.expanduser("~"), USER=os.environ.get("USER", ""))
        return None, env
    entry = pwd.getpwnam(user)
    env.update(HOME=entry.pw_dir, USER=user, LOGNAME=user, SHELL=entry.pw_shell)
    if entry.pw_uid == os.geteuid():
        return None, env
    if os.geteuid() != 0:
        raise PermissionError("running as %s needs privilege: declare ansible_become" % user)
    groups = os.getgrouplist(user, entry.pw_gid)

    def switch():
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    return switch, env


def home_of(user):
    return pwd.getpwnam(user).pw_dir if user else os.path.expanduser("~")


def start(argv, user="", extra=None, cwd=None):
    switch, env = become(user)
    env.update(extra or {})
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=env, cwd=cwd or "/", preexec_fn=switch, start_new_session=True,
    )  # fmt: skip
    with LOCK:
        CHILDREN.add(child)
    return child


def kill(child, sig=signal.SIGKILL):
    try:
        os.killpg(child.pid, sig)
    except OSError:
        pass


def drain(child, deadline):
    """Read both streams, bounded, until they end or time is up; return (out, err, late, cut)."""
    streams = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    order = list(streams)
    is_open = set(order)
    cut = False
    while is_open:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        for fd in select.select(list(is_open), [], [], left)[0]:
            chunk = os.read(fd, 65536)
            if not chunk:
                is_open.discard(fd)
            else:
                streams[fd] += chunk
                cut = cut or len(streams[fd]) > MAX
        if cut:
            break
    out, err = (bytes(streams[fd][:MAX]) for fd in order)
    return out, err, bool(is_open), cut


def reap(child, seconds):
    """Wait a little for a child; return its status, or None if it is still there."""
    try:
        return child.wait(timeout=max(seconds, 0.01))
    except subprocess.TimeoutExpired:
        return None


def run(argv, seconds, user="", extra=None):
    """Run one command; return an answer with rc, text and err."""
    begun = time.monotonic()
    child = start(argv, user, extra)
    try:
        out, err, late, cut = drain(child, begun + seconds)
        rc = None if late else reap(child, begun + seconds - time.monotonic())
        why = ""
        if rc is None:
            kill(child)
            gone = reap(child, 1.0) is not None
            why = "hung" if not gone else "too much" if cut else "deadline"
        took = round((time.monotonic() - begun) * 1000, 2)
        message = text_of(err)
        if why == "too much":
            message = "more than %d bytes of output" % MAX
        elif why:
            message = "%s not done after %g s" % (" ".join(argv)[:80], seconds)
        return answer(text=text_of(out), err=message, rc=rc, why=why, ms=took)
    finally:
        kill(child)
        for stream in (child.stdout, child.stderr):
            stream.close()
        with LOCK:
            CHILDREN.discard(child)


def op_run(want):
    return run(want["argv"], want["deadline"], want["user"], want["env"])


def each(items, parallel, one, seconds=86400.0):
    """Call ``one(item)`` for every item, at most ``parallel`` at a time; return {item: result}.

    After ``seconds`` no item is begun and none is waited for: what is late is left out.
    """
    out, todo, end = {}, list(reversed(items)), time.monotonic() + seconds

    def work():
        while True:
            with LOCK:
                if not todo or time.monotonic() > end:
                    return
                item = todo.pop()
            try:
                out[item] = one(item)
            except Exception as exc:
                out[item] = failed(exc)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(parallel, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(out)


def op_each(want):
    def one(item):
        argv = [word.replace("{}", item) for word in want["argv"]]
        got = run(argv, want["deadline"], want["user"])
        return {"rc": got["rc"], "out": got["text"][:2048], "err": got["err"][:2048], "ms": got["ms"]}

    return answer(data=each(want["items"], want["parallel"], one))


def op_proc(want):
    got = run(["systemctl", "show", "-p", "Id,MainPID,LoadState", "--"] + want["units"], 10)
    if got["why"] or got["rc"] != 0:
        return answer(why=got["why"] or "failed", err="systemctl show: " + got["err"].strip()[:200])
    out = {}
    for block in got["text"].split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        pid = fields.get("MainPID", "0")
        if pid not in ("", "0"):
            out[fields["Id"]] = read_file("/proc/%s/%s" % (pid, want["name"]))
    return answer(data=out)


def addresses_of(name):
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return sorted({str(entry[4][0]).split("%")[0] for entry in found})


def op_resolve(want):
    host = socket.gethostname()
    # A name server that is down takes seconds a name: the budget is for all of them.
    forward = each(want["names"], 16, addresses_of, want["deadline"] / 2.0)
    late = [name for name in want["names"] if name not in forward]
    forward.update((name, []) for name in late)
    addresses = sorted({a for found in forward.values() if isinstance(found, list) for a in found})

    def name_of(address):
        try:
            return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]
        except (socket.gaierror, OSError):
            return ""

    try:
        canonical = socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)[0][3]
    except (socket.gaierror, UnicodeError):
        canonical = ""
    return answer(
        data={
            "forward": forward,
            "reverse": each(addresses, 16, name_of, want["deadline"] / 2.0),
            "self": addresses_of(host),
            "hostname": host,
            "canonical": canonical,
            "late": late,
        }
    )


def op_session(want):
    return answer(data=dict(SESSION, noise=""))


def op_now(want):
    return answer(data={"node": STARTED})


OPS = {
    "read": op_read, "read_all": op_read_all, "run": op_run, "each": op_each, "proc": op_proc,
    "resolve": op_resolve, "session": op_session, "now": op_now
}  # fmt: skip


#: Programs that an op runs in a process of its own, sent only when they are needed: {name: source}.
PROGRAMS = {}  # type: dict[str, str]
#: What each part defined: {name: its names}.
PARTS = {}  # type: dict[str, dict[str, object]]


def extend(parts, programs):
    """Learn further ops: each part is the source of a module that defines ``OPS``, and may use us as ``AGENT``.

    They are learned by the alphabet, so one may use, when it is asked, what any of them defined.
    """
    PROGRAMS.update(programs)
    for name, source in sorted(parts.items()):
        space = {"__name__": name, "AGENT": globals()}
        exec(compile(source, "ddlcheck-" + name, "exec"), space)  # noqa: S102 - it came the way we did
        PARTS[name] = space
        OPS.update(space["OPS"])


def gather(wants, seconds):
    """Answer all wants at once; what is not answered in time is late, and says so."""
    answers = {}

    def one(key, want):
        begun = time.monotonic()
        try:
            op = OPS.get(want.get("op"))
            got = op(want) if op else answer(why="failed", err="this agent knows no %r" % want.get("op"))
        except Exception as exc:
            got = failed(exc)
        got.setdefault("ms", round((time.monotonic() - begun) * 1000, 2))
        answers[key] = got

    threads = [threading.Thread(target=one, args=(key, want), daemon=True) for key, want in sorted(wants.items())]
    end = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    done = dict(answers)
    for key in wants:
        done.setdefault(key, answer(why="deadline", err="no answer after %g s" % seconds))
    return done


def put(request):
    """Write a file into the user's private cache, atomically; return its path."""
    user, name = request["user"], os.path.basename(request["name"])
    folder = os.path.join(home_of(user), ".cache", "ddlcheck")
    script = 'umask 077; mkdir -p -- "$1" && cat > "$1/.$2.$$" && chmod "$3" "$1/.$2.$$" && mv -f "$1/.$2.$$" "$1/$2"'
    switch, env = become(user)
    child = subprocess.Popen(
        ["/bin/sh", "-c", script, "put", folder, name, request["mode"]],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=env, cwd="/", preexec_fn=switch, start_new_session=True,
    )  # fmt: skip
    _, err = child.communicate(base64.b64decode(request["data"]), timeout=30)
    if child.returncode:
        return answer(why="failed", err=text_of(err).strip())
    return answer(text=os.path.join(folder, name))


def stream(request, nonce):
    """Pass a command's stdout on as it comes; then say how it ended, with the tail of its stderr."""
    child = start(request["argv"], request["user"], request["env"], home_of(request["user"]))
    end = time.monotonic() + request["deadline"]
    out, err = child.stdout.fileno(), child.stderr.fileno()
    is_open, tail = {out, err}, b""
    while is_open:
        left = end - time.monotonic()
        if left <= 0:
            break
        for fd in select.select(list(is_open), [], [], left)[0]:
            chunk = os.read(fd, 65536)
            if not chunk:
                is_open.discard(fd)
            elif fd == out:
                send(chunk)
            else:
                tail = (tail + chunk)[-65536:]
    rc = None if is_open else reap(child, max(0.5, end - time.monotonic()))
    if rc is None:
        # TERM first: mpirun ends its remote daemons on it, and cannot on KILL.
        kill(child, signal.SIGTERM)
        if reap(child, 5.0) is None:
            kill(child)
    kill(child)
    send(b"\n")
    frame(nonce, "end", answer(rc=rc, err=text_of(tail), why="" if rc is not None else "deadline"))


def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def frame(nonce, kind, body):
    data = json.dumps(body).encode("ascii")
    send(b"@ddlcheck %s %s %d\n" % (nonce.encode(), kind.encode(), len(data)) + data + b"\n")


def watch(stdin):
    """End everything when nobody listens any more."""
    while stdin.read(4096):
        pass
    with LOCK:
        children = list(CHILDREN)
    for child in children:
        kill(child, signal.SIGTERM)
    time.sleep(2.0 if children else 0.0)
    for child in children:
        kill(child)
    os._exit(1)


def main(stdin):
    SESSION.update(soft=sys.argv[1], hard=sys.argv[2], user=sys.argv[3])
    request = json.loads(stdin.readline().decode("utf-8"))
    nonce = request["nonce"]
    frame(nonce, "hello", {"time": STARTED, "python": sys.version.split()[0]})
    threading.Thread(target=watch, args=(stdin,), daemon=True).start()
    extend(request.get("parts", {}), request.get("programs", {}))
    if "wants" in request:
        frame(nonce, "answers", gather(request["wants"], request["deadline"]))
    elif "put" in request:
        try:
            got = put(request["put"])
        except Exception as exc:
            got = failed(exc)
        frame(nonce, "answers", {"put": got})
    else:
        try:
            stream(request["stream"], nonce)
        except Exception as exc:
            frame(nonce, "end", failed(exc))
    # Not sys.exit: a thread stuck in a dead file system must not hold us.
    os._exit(0)


STARTED = time.time()
