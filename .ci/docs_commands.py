"""Prints the shell commands of the documentation that CI runs: every block that begins with ```bash.

Pages come in the order of their names, the quickstart before them: they use the run that it leaves behind. What stands
in other blocks would take too long, or needs more than one machine; tests/contract/test_docs.py reads those too.
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main(folder: str) -> None:
    """Writes all blocks, one after another, to standard output."""
    pages = sorted(Path(folder).glob("*.md"), key=lambda page: (page.name != "quickstart.md", page.name))
    sys.stdout.write("".join(block for page in pages for block in BLOCK.findall(page.read_text())))


if __name__ == "__main__":
    main(*sys.argv[1:])
