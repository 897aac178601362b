"""Makes text fit to be shown: without secrets, without line breaks, without what a terminal would obey."""

import os
import re
from collections.abc import Mapping

HIDDEN = "***"

# Repetitions have bounds, so that the time stays proportional to the text. A path library turns two slashes into one.
# Keys may hold slashes, so all up to the last @ goes.
_USER_INFO = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,20}:/{1,2})\S*@")
_SECRET = r"(?:token|secret|passw|api[_-]?key|access[_-]?key|credential|signature)"
_PARAMETER = re.compile(rf"(?P<name>(?:{_SECRET}|pwd)[\w.-]{{0,40}}=)[^\s&;,'\")]+", re.IGNORECASE)
# $PWD is the working folder, and the name of a file with a secret is none.
_SECRET_NAME = re.compile(rf"(?!.*_(?:path|file|dir)$)(?:.*{_SECRET}.*|.*_(?:key|pwd))", re.IGNORECASE)
_FEWEST_LETTERS = 8
"""A shorter value of a variable may well be an ordinary word."""


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without secrets: those in addresses, and the values of secret environment variables.

    `s3://key:secret@bucket/a?token=x` becomes `s3://***@bucket/a?token=***`.

    Args:
        text: What is to be shown or kept.
        environment: Variables; those of this process where None.
    """
    known = os.environ if environment is None else environment
    values = {value for name, value in known.items() if _SECRET_NAME.fullmatch(name) and len(value) >= _FEWEST_LETTERS}
    # Long ones first: one secret may begin another.
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _PARAMETER.sub(rf"\g<name>{HIDDEN}", _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text))


def one_line(text: str) -> str:
    r"""`text` on one line: line breaks and what a terminal would obey are written as `\n`, `\x1b`, `\u202e`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
