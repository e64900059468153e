import pytest

from ddlcheck.fabric.causes import classify


@pytest.mark.parametrize(
    ("talk", "word", "remedy"),
    [
        ("UCX ERROR ibv_reg_mr(address=0x7f) failed: Cannot allocate memory. Please set max locked memory (ulimit -l)",
         "lock enough memory", "memlock"),
        ("A\n\nFailed to create a completion queue (CQ):\n\nHostname: a\nRequested CQE: 16384", "lock", "memlock"),
        ("Host key verification failed.\nORTE was unable to reliably start one or more daemons.", "host key", "ssh_mesh"),
        ("root@b: Permission denied (publickey).", "refused", "ssh_mesh"),
        ("ssh: Could not resolve hostname nodeX: Name or service not known", "resolve", "hosts_file"),
        ("bash: line 1: orted: command not found", "daemon where ssh looks", "openmpi"),
        # As mpirun 4.1.4 passes it on from a node's bash, and from its dash.
        ("bash: line 1: /usr/bin/orted: Permission denied", "may not be executed", "inspect"),
        ("sh: 1: prted: Permission denied", "may not be executed", "inspect"),
        ("mpirun: 1: mpirun: Permission denied", "may not be executed", "inspect"),
        ("PML add procs failed\n  --> Returned Not found (-13)", "PML add procs", "openmpi"),
        ("At least one pair of MPI processes are unable to reach each other", "common network", "interfaces"),
        ("mkdir: cannot create directory: No space left on device", "temporary directory", "inspect"),
        ("[[1,2],0] ORTE_ERROR_LOG: Data unpack would read past end of buffer in file orted_comm.c",
         "different versions", "openmpi"),
        ("A hostfile was provided that contains multiple definitions\nof the slot count for at least one node:",
         "two names", "inventory"),
    ],
)  # fmt: skip
def test_a_launchers_words_have_a_cause(talk, word, remedy):
    found = classify(talk)
    assert word in found["cause"]
    assert found["remedy"] == remedy
    assert found["text"]


def test_what_is_not_known_is_shown_and_not_guessed():
    assert classify("----\nsomething new\n----\n") == {
        "cause": "the launch failed",
        "remedy": "inspect",
        "text": "something new",
    }


#: What mpirun 4.1.4 says with a TMPDIR without a free block, and one without a free inode (shortened).
NO_BLOCK = """\
[vm:17727] PMIX ERROR: OUT-OF-RESOURCE in file ../../../../../../src/mca/common/dstore/dstore_segment.c at line 208
[vm:17727] PMIX ERROR: ERROR in file ../../../../../../src/mca/common/dstore/dstore_base.c at line 2479
[vm:17727] [[10689,0],0] ORTE_ERROR_LOG: Data unpack would read past end of buffer in file ../../../orte/util/show_help.c at line 501
*** An error occurred in MPI_Init
"""
NO_INODE = """\
--------------------------------------------------------------------------
A call to mkdir was unable to create the desired directory:

  Directory: /mnt/ompi.vm.0/pid.18001
  Error:     No space left on device

Please check to ensure you have adequate permissions to perform
the desired operation.
--------------------------------------------------------------------------
[vm:18001] [[10927,0],0] ORTE_ERROR_LOG: Error in file ../../../orte/util/session_dir.c at line 107
"""
BANNER = """\
[ib1:04155] *** An error occurred in MPI_Init
[ib1:04155] *** on a NULL communicator
[ib1:04155] *** MPI_ERRORS_ARE_FATAL (processes in this communicator will now abort,
[ib1:04155] ***    and potentially your MPI job)
"""
UNPACK = "[ib1:04155] [[1,0],0] ORTE_ERROR_LOG: Data unpack would read past end of buffer in file util/show_help.c at line 501"


@pytest.mark.parametrize(
    ("talk", "node"),
    [
        (NO_BLOCK, "vm"),
        (NO_INODE, "vm"),
        ("[ib2:1] opal_os_dirpath_create: Error: Unable to create the sub-directory (/tmp/ompi.ib2.0)", "ib2"),
        (f"{UNPACK}\nmkdir on host ib3: No space left on device", "ib3"),
        (("----\nIt appears as if there is not enough space for /tmp/x (the shared-memory backing\nfile).\n\n"
          "  Local host:  ib4\n----"), "ib4"),
        (f"{UNPACK}\n  orte_session_dir failed\n", "a node"),
    ],
)  # fmt: skip
def test_a_full_temporary_directory_is_named_with_its_node(talk, node):
    found = classify(talk)
    assert found["cause"] == f"the temporary directory (/tmp or TMPDIR) of {node} is full or cannot be written"
    assert found["remedy"] == "inspect"


def test_a_full_directory_is_shown_with_the_error():
    assert classify(NO_INODE)["text"] == "Directory: /mnt/ompi.vm.0/pid.18001 Error: No space left on device"


def test_full_shared_memory_is_not_taken_for_the_temporary_directory():
    found = classify("[ib1:7] open /dev/shm/vader.1: No space left on device")
    assert found["cause"] == "/dev/shm of ib1 is full"


def test_a_message_that_could_not_be_shown_is_not_read_as_different_versions():
    found = classify(f"{UNPACK}\n{BANNER}")
    assert found["cause"].startswith("the launcher's own message could not be shown (on ib1)")
    assert "/tmp" in found["cause"]
    assert found["remedy"] == "inspect"
    assert found["text"] == UNPACK


def test_a_message_that_could_not_be_shown_gives_way_to_a_cause_that_was():
    assert classify(f"{UNPACK}\nPML add procs failed")["remedy"] == "openmpi"


@pytest.mark.parametrize(
    ("talk", "text"),
    [
        (f"something odd\nthe frobnicator failed\n{BANNER}", "the frobnicator failed"),
        (f"noise\n-----\nIt looks\nodd.\n\nMore of it.\n-----\n{BANNER}", "It looks odd."),
        (f"first\nlast\n-----\n{BANNER}", "last"),
        (BANNER, "An error occurred in MPI_Init"),
        ("", ""),
    ],
)
def test_of_unknown_words_the_ones_that_say_something_are_shown(talk, text):
    assert classify(talk)["text"] == text
