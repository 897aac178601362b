"""The writer process: follows a run's records file and passes them on to W&B."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bmtune.tracking.runs import TrialRuns
from bmtune.tracking.service import WandbService
from bmtune.tracking.tail import RecordTail

RECORDS_FILE = "records.jsonl"
POLL_S = 0.5
"""Time between two looks at the records file."""
LIMIT_S = 900.0
"""How long the process may go on after the search has ended."""


def follow(
    folder: Path, mode: str, ending: threading.Event, tell: Callable[[str], None], poll_s: float = POLL_S
) -> None:
    """Passes a run's records on until the search has ended or `ending` is set, and then what is left.

    Args:
        folder: The run folder.
        mode: "online" or "offline".
        ending: Set when nobody writes records any more.
        tell: Takes a sentence that the user should read.
        poll_s: Seconds between two looks at the file.
    """
    service = WandbService(folder, mode, tell)
    runs = TrialRuns(folder, service, _sent(folder, mode), lambda trial: _remember(folder, service.mode, trial))
    tail = RecordTail(folder / RECORDS_FILE)
    while not runs.ended:
        # Asked before reading: what was written until then is read below.
        last = ending.is_set()
        for record in tail.read():
            runs.on_record(record)
        if last:
            break
        ending.wait(poll_s)
    runs.close()


def _sent(folder: Path, mode: str) -> frozenset[int]:
    path = _sent_file(folder, mode)
    return frozenset(int(line) for line in path.read_text().split()) if path.exists() else frozenset()


def _remember(folder: Path, mode: str, trial: int) -> None:
    with _sent_file(folder, mode).open("a") as file:
        file.write(f"{trial}\n")


def _sent_file(folder: Path, mode: str) -> Path:
    return folder / "wandb" / f"sent-{mode}.txt"


def main(folder: Path, mode: str) -> int:
    """Follows a run until a line or the end of the standard input says that the search has ended."""
    ending = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ending,), daemon=True).start()

    def tell(sentence: str) -> None:
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()

    follow(folder, mode, ending, tell)
    return 0


def _wait_for_end(ending: threading.Event) -> None:
    # A line is a request; the end of the input means that the search is gone.
    sys.stdin.readline()
    ending.set()
    watchdog = threading.Timer(LIMIT_S, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()
