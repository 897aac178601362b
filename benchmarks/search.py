"""The default `python -m bmtune.search gan`: first epoch, whole time, and time outside training."""

import os
import subprocess
import sys
import tempfile
from math import isnan
from pathlib import Path
from time import perf_counter
from time import time

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
        first, whole, shown = _timed(Path(folder))
        (records,) = Path(folder).glob("outputs/*/records.jsonl")
        outside, with_start = _outside(records, shown)
    table = Result("python -m bmtune.search gan", ("figure", "found", "asked at most", "met"))
    table.rows += [
        ("seconds to the first epoch", first, FIRST_EPOCH, first <= FIRST_EPOCH),
        ("seconds in all", whole, WHOLE, whole <= WHOLE),
        ("share of time outside training, from the first epoch on", outside, OUTSIDE, outside <= OUTSIDE),
        ("the same with the start of the workers", with_start, "-", "-"),
    ]
    return [table]


def _timed(folder: Path) -> tuple[float, float, float]:
    """Seconds until the first epoch is shown and until the end, and when on the clock the first epoch was shown."""
    began, first, shown = perf_counter(), float("nan"), float("nan")
    process = subprocess.Popen(
        [sys.executable, "-m", "bmtune.search", "gan"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None, "it was asked for"
    for line in process.stdout:
        if isnan(first) and "first epoch" in line:
            first, shown = perf_counter() - began, time()
    if process.wait() != 0:
        raise RuntimeError(f"the search ended with exit code {process.returncode}")
    return first, perf_counter() - began, shown


def _outside(path: Path, shown: float) -> tuple[float, float]:
    """The share of the slots' time without an epoch: from the first epoch's start on, and from the first trial's."""
    records = list(read_records(path).records)
    started = [record.time for record in records if isinstance(record, TrialStarted)]
    ended = [record.time for record in records if isinstance(record, TrialFinished)]
    seconds = [record.seconds for record in records if isinstance(record, Epoch)]
    slots, first_began = os.cpu_count() or 1, shown - seconds[0]
    return tuple(1 - sum(seconds) / (slots * (max(ended) - begin)) for begin in (first_began, min(started)))
