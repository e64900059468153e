"""The MPI that is found, and what its parameters say."""

from __future__ import annotations

from ddlcheck.lab.faults.fault import Fault, files, sh

FAULTS = (
    Fault(
        "mpi-params", "a parameter file switches UCX off", "openmpi", r"openmpi-mca-params\.conf says pml = \^ucx",
        sh('f=/etc/openmpi/openmpi-mca-params.conf; keep $f; echo "pml = ^ucx" >> $f'),
        files("/etc/openmpi/openmpi-mca-params.conf"), "openmpi",
    ),
    Fault(
        "mpi-user-params", "the job user's own parameters switch UCX off", "openmpi",
        r"~/\.openmpi/mca-params\.conf says pml = ob1",
        sh("f=$job/.openmpi/mca-params.conf; mkdir -p $job/.openmpi; keep $f; echo 'pml = ob1' > $f\n"
            "chown -R ddl: $job/.openmpi"),
        files("$job/.openmpi/mca-params.conf"),
    ),
    Fault(
        "mpi-environment", "the environment overrides the parameter files", "openmpi",
        r"environment \(OMPI_MCA_\*\) says pml = ob1",
        sh("keep /etc/environment; echo 'OMPI_MCA_pml=ob1' >> /etc/environment"), files("/etc/environment"),
    ),
    Fault(
        "mpi-login", "a profile puts another Open MPI first for who logs in", "openmpi",
        r"a login shell finds /opt/site/bin/mpirun, a session over ssh /usr/bin/mpirun",
        sh("keep /opt/site/bin/mpirun; mkdir -p /opt/site/bin; printf '#!/bin/sh\\n' > /opt/site/bin/mpirun\n"
            "chmod 755 /opt/site/bin/mpirun\n"
            "f=/etc/profile.d/zz-site.sh; keep $f; echo 'PATH=/opt/site/bin:$PATH' > $f"),
        files("/opt/site/bin/mpirun", "/etc/profile.d/zz-site.sh"),
    ),
    Fault(
        "mpi-profile", "a profile switches UCX off for who logs in", "openmpi",
        r"a login shell's environment says pml = ob1",
        sh("f=/etc/profile.d/zz-site.sh; keep $f; echo 'export OMPI_MCA_pml=ob1' > $f"),
        files("/etc/profile.d/zz-site.sh"),
    ),
    Fault(
        "mpi-gone", "Open MPI is not installed", "openmpi", r"no mpirun",
        sh("keep /run/mpi-gone; : > /run/mpi-gone; dpkg -r --force-depends openmpi-bin"),
        files("/run/mpi-gone", then="command -v mpirun >/dev/null || apt-get install -qy openmpi-bin"),
        "openmpi",
    ),
    Fault(
        "mpi-version", "another Open MPI comes first in the PATH", "openmpi", r"4\.1\.99",
        sh("f=/usr/local/bin/mpirun; keep $f; printf '#!/bin/sh\\necho \"mpirun (Open MPI) 4.1.99\"\\n' > $f\n"
            "chmod 755 $f"),
        files("/usr/local/bin/mpirun"),
    ),
)  # fmt: skip
