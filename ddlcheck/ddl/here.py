"""What is on this machine: its mpirun, its resolver, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ddlcheck.ddl.dialect import Mpi, open_mpi
from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Prefixes every shell and the loader search anyway: no ``--prefix`` for these.
_USUAL = ("/usr", "/", "/usr/local")
_SECONDS = 20.0
#: What Open MPI's components that read an allocation are called.
_COMPONENTS = {"slurm": {"slurm"}, "pbs": {"tm", "pbs"}}


def carries(interface: str) -> bool:
    """Whether this machine has an interface of that name, or an address in that network (CIDR form).

    mpirun itself listens on it: a name that only the other nodes have ends the launch with a riddle.
    """
    # Without wheels for every Python in its older form; netifaces-plus has the same name.
    import netifaces  # noqa: PLC0415 - only where an interface is named

    if "/" not in interface:
        return interface in netifaces.interfaces()
    network = ipaddress.ip_network(interface, strict=False)
    family = netifaces.AF_INET if network.version == 4 else netifaces.AF_INET6  # noqa: PLR2004
    own = [entry["addr"] for name in netifaces.interfaces() for entry in netifaces.ifaddresses(name).get(family, [])]
    return any(ipaddress.ip_address(address.partition("%")[0]) in network for address in own)


def interfaces() -> list[str]:
    """Return the names of this machine's interfaces."""
    import netifaces  # noqa: PLC0415

    return list(netifaces.interfaces())


def find_mpi(program: str = "mpirun") -> Mpi | None:
    """Return the Open MPI that ``program`` is; None when there is none. Raises `UsageError` for another MPI."""
    found = shutil.which(program)
    if not found:
        return None
    said = output([found, "--version"])
    if said is None:
        raise UsageError(f"{found} --version does not answer")
    prefix = _prefix(Path(found))
    # A bare name stays one, so that the printed line is the one a user would type.
    return open_mpi(said[1], str(Path(found).absolute()) if prefix else program, prefix)


def knows(mpi: Mpi, manager: str) -> bool:
    """Whether this mpirun learns the hosts from that resource manager by itself; what it does not say is a yes.

    Debian's 4.1 was built without PBS's library: inside a PBS job it knows of one host, its own.
    """
    info = "prte_info" if mpi.prrte else "ompi_info"
    beside = Path(mpi.program).with_name(info)
    said = output([str(beside) if Path(mpi.program).is_absolute() else info])
    found = set(re.findall(r"MCA ras: (\w+)", said[1])) if said and said[0] == 0 else set()
    return not found or bool(found & _COMPONENTS[manager])


def _prefix(mpirun: Path) -> str:
    """Return the directory above ``bin``, where the daemons are beside mpirun; empty for the usual ones."""
    for path in (mpirun.absolute(), mpirun.resolve()):
        if path.parent.name == "bin" and any((path.parent / name).exists() for name in ("orted", "prted")):
            prefix = str(path.parent.parent)
            return "" if prefix in _USUAL else prefix
    return ""


def libdir(prefix: str) -> str:
    """Return where the libraries of an Open MPI are, empty where the loader looks anyway."""
    if not prefix:
        return ""
    found = (Path(prefix, name) for name in ("lib", "lib64") if any(Path(prefix, name).glob("libmpi.so*")))
    return str(next(found, Path(prefix, "lib")))


def output(argv: Sequence[str], seconds: float = _SECONDS) -> tuple[int, str] | None:
    """Return exit status and all that was said; None when it did not start or did not end in time."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def canonical(host: str) -> str:
    """Return the resolver's full name of a host, empty when it has none."""
    with contextlib.suppress(OSError):
        for info in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME):
            if info[3]:
                return info[3]
    return ""


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; raises `UsageError` when it cannot be."""
    temporary = ""
    if path.is_dir():
        raise UsageError(f"{path} is a directory")
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            temporary = stream.name
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def read_text(path: str) -> str:
    """Return a file's text; raises `UsageError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text") from error
