import errno
import sqlite3
from pathlib import Path

import pytest

from bmtune.disk_space import Patience
from bmtune.disk_space import free_space
from bmtune.disk_space import is_full


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no luck")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (OSError("no number"), False),
        (sqlite_error(sqlite3.SQLITE_FULL), True),
        (sqlite_error(sqlite3.SQLITE_BUSY), False),
        (sqlite3.OperationalError("no number"), False),
        (ValueError("full"), False),
    ],
)
def test_a_full_disk_is_told_from_other_errors(error: Exception, full: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_full(error) is full
    wrapped = RuntimeError("around it")
    wrapped.__cause__ = error
    assert is_full(wrapped) is full


def test_the_real_disk_that_is_always_full_is_known_as_one() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has a device that is always full")
    with pytest.raises(OSError, match="No space left") as caught, full.open("wb", buffering=0) as file:
        file.write(b"x")
    assert is_full(caught.value)


def test_free_space_is_told_also_of_a_place_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_space(tmp_path / "a" / "b").split()[-2:][0] in ("bytes", "kB", "MB", "GB", "TB")


def test_other_errors_are_not_waited_for() -> None:
    rested: list[float] = []

    def broken() -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(OSError, match="Permission"):
        Patience(print, rested.append).wait_for_room(broken, "x", Path())
    assert rested == []


def test_work_that_meets_no_full_disk_is_done_once_and_nothing_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    assert Patience(told.append).wait_for_room(lambda: 7, "x", tmp_path) == 7
    assert told == []
