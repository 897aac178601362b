"""`python -m bmtune.search TRAINER`: the same command as `bmtune search TRAINER`."""

import sys

from bmtune.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["search", *sys.argv[1:]]))
