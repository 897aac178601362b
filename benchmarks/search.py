"""The default `python -m bmtune.search gan`: first epoch, whole time, and time outside training."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import watch
from benchmarks.table import Result
from bmtune.records import Epoch
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import read_records

FIRST_EPOCH, WHOLE, OUTSIDE = 20.0, 300.0, 0.15
"""Seconds to the first epoch, seconds in all, and share of the time outside training: what is asked at most."""


def run() -> list[Result]:
    """Runs the command in an empty folder and reads its records."""
    with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
        watched = watch(
            [sys.executable, "-m", "bmtune.search", "gan", "--confirm", "none"], Path(folder), "first epoch"
        )
        (records,) = Path(folder).glob("outputs/*/records.jsonl")
        outside, with_start = _outside(records, watched.shown)
    table = Result("python -m bmtune.search gan", ("figure", "found", "asked at most", "met"))
    table.rows += [
        ("seconds to the first epoch", watched.first, FIRST_EPOCH, watched.first <= FIRST_EPOCH),
        ("seconds in all", watched.seconds, WHOLE, watched.seconds <= WHOLE),
        ("share of time outside training, from the first epoch on", outside, OUTSIDE, outside <= OUTSIDE),
        ("the same with the start of the workers", with_start, "-", "-"),
    ]
    return [table]


def _outside(path: Path, shown: float) -> tuple[float, float]:
    """The share of the slots' time without an epoch: from the first epoch's start on, and from the first trial's."""
    records = list(read_records(path).records)
    started = [record.time for record in records if isinstance(record, TrialStarted)]
    ended = [record.time for record in records if isinstance(record, TrialFinished)]
    seconds = [record.seconds for record in records if isinstance(record, Epoch)]
    slots, first_began = os.cpu_count() or 1, shown - seconds[0]
    return tuple(1 - sum(seconds) / (slots * (max(ended) - begin)) for begin in (first_began, min(started)))
