"""Names that become folders, and paths that must stay where they belong."""

import re
from pathlib import Path

from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.records import inner_path
from bmtune.redaction import redacted

MOST_LETTERS = 100
"""Of a name: file systems take 255 bytes, and a letter may have four of them."""

_NAME = re.compile(r"\w[\w.+-]*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def check_name(name: str, place: str) -> str:
    """`name` itself, where it is fit to be that of a folder below another one.

    Args:
        name: The name of a run or of a training.
        place: Where it was given, for the message.

    Raises:
        ConfigError: It is not: it could lead elsewhere, or the file system may refuse it.
    """
    if len(name) > MOST_LETTERS:
        raise ConfigError(f"a name must have at most {MOST_LETTERS} letters, but got {len(name)} ({place}); shorten it")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a name must be letters, digits, '.', '_', '+' and '-', but got {name!r} ({place}); choose another"
        )
    return name


def is_address(text: str) -> bool:
    """Whether a text is an address, such as s3://bucket, and no path of this machine's file system."""
    return _URL.match(text) is not None


def check_local(folder: str, place: str) -> None:
    """Refuses an address in the place of a folder; nothing is written to other machines.

    Raises:
        ConfigError: It is an address, such as s3://bucket.
    """
    if is_address(folder):
        raise ConfigError(
            f"a folder must be one of this machine's file system, but got {redacted(folder)} ({place}); give a path"
        )


def within(folder: Path, path: str) -> Path:
    """The place of `path`, which was read from a file in `folder`, and must not lead out of it.

    Raises:
        RunFolderError: It is absolute, climbs out with `..`, or is a link that does.
    """
    try:
        inside = (folder / inner_path(path)).resolve().is_relative_to(folder.resolve())
    except ValueError:
        inside = False
    if not inside:
        raise RunFolderError(
            f"a path in a run must stay in its folder, but {folder} names {path!r}; the run was changed or damaged, "
            "do not use it"
        )
    return folder / path
