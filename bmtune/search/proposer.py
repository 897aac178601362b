"""`python -m bmtune.search.proposer RUN_FOLDER FIRST LAG`: prints proposals, as JSON lines, as records allow them.

It follows the records file of the run and looks there when a line comes in; it ends with its standard input.
"""

import json
import signal
import sys
from pathlib import Path

import optuna

from bmtune.search.foresight import Foresight
from bmtune.search.foresight import Rule
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import look_at
from bmtune.tracking import RecordTail


def main(folder: Path, rule: Rule) -> None:
    """Proposes until standard input ends."""
    # Ctrl-C is the search's, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    foresight, tail = Foresight(look_at(folder)[0], rule), RecordTail(folder / RECORDS_FILE)
    for _ in sys.stdin:
        for proposal in foresight.take(tail.read()):
            sys.stdout.write(f"{json.dumps([proposal.trial, proposal.params])}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Rule(int(sys.argv[2]), int(sys.argv[3])))
