"""Keep what the look at CUDA support says of one installation: `python tests/machines/ompi_info.py PREFIX > FILE`."""

from __future__ import annotations

import subprocess
import sys

from ddlcheck.judging import cuda, mpi

if __name__ == "__main__":
    prefix = sys.argv[1]
    environment = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        ["sh", "-c", mpi.quoted(cuda.SCRIPT, prefix)], capture_output=True, text=True, check=False, env=environment
    )
    sys.stdout.write(done.stdout)
