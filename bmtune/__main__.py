"""`python -m bmtune`: the console script `bmtune` without its folder on the PATH."""

import sys

from bmtune.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
