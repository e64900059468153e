"""What a node is given: the gate's modules in one archive, named by their digest, and the launcher that starts them."""

from __future__ import annotations

import ast
import hashlib
import io
import pathlib
import tarfile

from ddlcheck import checks
from ddlcheck.probes import parts

LIBRARY = "/usr/local/lib/ddlcheck"
#: The least Python a node may have; `make lint` holds the modules to it.
PYTHON = (3, 8)
#: What is found by its name while the gate runs, and therefore by no import statement.
_BY_NAME = ("probes/agent", "probes/local", *(f"probes/{name}" for name in parts.modules()))
#: Of this package, what only the controller runs.
_CONTROLLER = ("adapters", "payload", "allocation", "fanout", "job", "nodes", "spanning")

_LAUNCHER = """\
#!/usr/bin/python3 -IS
# Installed by Ansible (role health_gate): the gate of this node; --help says more.
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, "{library}")
from ddlcheck.gates.main import main
sys.exit(main())
"""


def modules() -> dict[str, bytes]:
    """Return the files of the node's library, ``{"ddlcheck/…": content}``.

    These are the gate, the checks that one node can prove alone, and whatever they import; a check that is added comes
    along by itself.
    """
    here = pathlib.Path(__file__).parents[1]
    alone = [name for name, check in checks.load().items() if getattr(check, "NODE_LOCAL", True)]
    todo = [here / "gates" / path.name for path in (here / "gates").glob("*.py") if path.stem not in _CONTROLLER]
    todo += [here / f"{name}.py" for name in (*_BY_NAME, *(f"checks/{name}" for name in alone))]
    found: dict[str, bytes] = {}
    while todo:
        path = todo.pop()
        name = f"ddlcheck/{path.relative_to(here)}"
        if name not in found:
            found[name] = path.read_bytes()
            todo += _imported(here, found[name])
            todo += [folder / "__init__.py" for folder in path.parents if folder == here or here in folder.parents]
    for name in parts.programs():
        for file, text in parts.files(name).items():
            found[f"ddlcheck/share/roles/{name}/files/{file}"] = text.encode()
    return dict(sorted(found.items()))


def _imported(here: pathlib.Path, source: bytes) -> list[pathlib.Path]:
    """Return our modules that a module imports; what stands under TYPE_CHECKING is imported by nobody."""
    tree, names = ast.parse(source), set()
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [here.parent.joinpath(*name.split(".")) for name in names if name.partition(".")[0] == "ddlcheck"]
    return [found for path in paths for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()]


def digest(found: dict[str, bytes]) -> str:
    """Return the name of this library: equal modules, equal name."""
    out = hashlib.sha256()
    for name, content in sorted(found.items()):
        out.update(f"{name} {len(content)}\n".encode())
        out.update(content)
    return out.hexdigest()[:16]


def archive(found: dict[str, bytes], name: str) -> bytes:
    """Return the library as a tar that unpacks into a folder of its name; the same bytes for the same modules."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(found.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def launcher(name: str) -> str:
    """Return ``/usr/local/sbin/ddlcheck-node``; it names its library, so that an update takes effect at one moment."""
    return _LAUNCHER.format(library=f"{LIBRARY}/{name}")


if __name__ == "__main__":
    print(*(name for name in modules() if "/share/" not in name))  # noqa: T201 - for `make lint`, which holds them to PYTHON
