"""Tarballs that configure, make and install like UCX's and Open MPI's, in a second: what they install are shell scripts.

With them the way of a build is tried: recipe, spread, switch, failure. That a real one comes out CUDA-aware is
`test_openmpi_build.py`'s business.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

MAKEFILE = "all:\n\techo compiling with $(MAKEFLAGS)\ninstall:\n\tsh ./install.sh '$(DESTDIR)'\n"
# What was asked of configure is kept, a word a line, for the tests to look at.
CONFIGURE = """#!/bin/sh
for word; do case $word in --prefix=*) prefix=${word#--prefix=} ;; esac; done
printf '%s\\n' "$@" > words
echo "prefix=$prefix" > answers
@CONFIGURE@
"""
UCX_INSTALL = """. ./answers; d=$1$prefix; mkdir -p "$d/lib/ucx" "$d/bin"
echo tiny > "$d/lib/libucp.so.0"; : > "$d/lib/libucp.la"; cp words "$d/ucx.words"
grep -q ^--with-cuda= words && : > "$d/lib/ucx/libuct_cuda.so"
exit 0
"""
INSTALL = """. ./answers; d=$1$prefix; mkdir -p "$d/lib" "$d/bin" "$d/etc"; cp words "$d/openmpi.words"
echo "pml = ^ucx" > "$d/etc/openmpi-mca-params.conf"
cuda=false; grep -q ^--with-cuda= words && cuda=true
printf '#!/bin/sh\\necho "mpirun (Open MPI) VERSION_HERE"\\n' > "$d/bin/mpirun"; cp "$d/bin/mpirun" "$d/bin/orted"
cat > "$d/bin/ompi_info" <<END
#!/bin/sh
echo "ompi:version:full:VERSION_HERE"
echo "config:cli: $(paste -sd' ' words)"
echo "mca:mpi:base:param:mpi_built_with_cuda_support:value:$cuda"
END
chmod 755 "$d"/bin/*
"""


def tarball(path: Path, top: str, **files: str) -> tuple[str, str]:
    """Write a tarball; return its path and SHA-256."""
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mode = len(text.encode()), 0o755
            out.addfile(entry, io.BytesIO(text.encode()))
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def ucx(folder: Path, configure: str = "") -> tuple[str, str]:
    """Return a tiny UCX; ``configure`` is what its configure does besides."""
    files = {"configure": CONFIGURE.replace("@CONFIGURE@", configure), "Makefile": MAKEFILE, "install.sh": UCX_INSTALL}
    return tarball(folder / "ucx-1.0.tar.gz", "ucx-1.0", **files)


def openmpi(folder: Path, version: str = "4.1.99", configure: str = "") -> tuple[str, str]:
    """Return a tiny Open MPI of a version."""
    files = {
        "VERSION": f"major={version.split('.', maxsplit=1)[0]}\n", "configure": CONFIGURE.replace("@CONFIGURE@", configure), "Makefile": MAKEFILE,
        "install.sh": INSTALL.replace("VERSION_HERE", version),
    }  # fmt: skip
    return tarball(folder / f"openmpi-{version}.tar.gz", f"openmpi-{version}", **files)
