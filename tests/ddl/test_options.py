"""DDL's own options."""

import pytest

from ddlcheck.ddl.options import check_ranks, for_command, parse_options
from ddlcheck.errors import UsageError


def test_the_original_s_options_are_read():
    found = parse_options("-mode b:4x2x1 -dev_sync 1")
    assert (found.mode, found.dims, str(found)) == ("b", (4, 2, 1), "-mode b:4x2x1 -dev_sync 1")


@pytest.mark.parametrize(
    "text", ["-mode p:6x2x1x1 ", "-mode r:8", "-mode n", "-mode c:4x2x1 -dbg_level 2 -dump_iter 100"]
)
def test_other_forms_are_read(text):
    assert parse_options(text).mode


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-mode",
        "-mode x:4x2x1",
        "-mode b:4x",
        "-mode b:0x1",
        "-dev_sync 3",
        "-dev_sync a",
        "-devsync 1",
        "'",
        "b:4x2x1 -mode",
    ],
)
def test_what_ddl_would_not_take_is_one_sentence(text):
    with pytest.raises(UsageError) as error:
        parse_options(text)
    assert "\n" not in str(error.value)


def test_dimensions_have_to_make_up_the_ranks():
    check_ranks(parse_options("-mode b:4x2x1"), 8)
    check_ranks(parse_options("-mode p"), 8)
    with pytest.raises(UsageError, match="for 4 ranks, and 8"):
        check_ranks(parse_options("-mode b:4x1x1"), 8)


def test_caffe_takes_them_as_an_argument_too():
    given = parse_options("-mode n:4x1x1")
    assert for_command(given, ["/opt/DL/caffe", "train"]) == ["/opt/DL/caffe", "train", "-ddl", "-mode n:4x1x1"]
    assert for_command(given, ["python", "a.py"]) == ["python", "a.py"]
    assert for_command(parse_options("-mode p"), ["python"]) == ["python"]


def test_caffe_s_own_and_ours_are_one_too_many():
    with pytest.raises(UsageError, match="twice"):
        for_command(parse_options("-mode p"), ["caffe", "train", "-ddl", "-mode r"])
