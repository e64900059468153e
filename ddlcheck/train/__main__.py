"""`python -m ddlcheck.train` is `ddlcheck-train`."""

import os
import sys


def run() -> int:
    """Run the job; an interrupt while it is still being loaded ends it like any other."""
    # One thread for each rank: N ranks of N threads each on one host fight for its cores, and sums of
    # several threads need not come out alike. It has to be said before numpy is loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        from ddlcheck.train.command import main  # noqa: PLC0415 - after what is said above

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
