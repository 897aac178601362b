"""Prints the shell commands of the README: `readme_commands.py README.md tests` or `... rest`.

The README is true to the letter because CI takes its commands from here and from nowhere else.
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(readme: str) -> list[str]:
    """Every shell block of the README, in order."""
    return BLOCK.findall(readme)


def is_test_block(block: str) -> bool:
    """Whether this is the block that installs and passes the tests."""
    return "pytest" in block


def main(path: str, part: str) -> None:
    """Writes the test block, or all others one after another, to standard output."""
    chosen = [block for block in blocks(Path(path).read_text()) if is_test_block(block) == (part == "tests")]
    sys.stdout.write("".join(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
