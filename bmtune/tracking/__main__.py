"""`python -m bmtune.tracking RUN_FOLDER online|offline`: passes a run's records on to W&B, now or afterwards."""

import argparse
import sys
from pathlib import Path

from bmtune.tracking.writer import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bmtune.tracking", description="Passes a run's records on to W&B.")
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="folder with records.jsonl")
    parser.add_argument("mode", choices=("online", "offline"), help="send at once, or keep for `wandb sync`")
    arguments = parser.parse_args()
    sys.exit(main(arguments.folder, arguments.mode))
