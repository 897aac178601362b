"""The default `python -m bmtune.search gan`: first epoch, whole time, and time outside training."""

import os
import subprocess
import sys
import tempfile
from math import isnan
from pathlib import Path
from time import perf_counter

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
        first, whole = _timed(Path(folder))
        (records,) = Path(folder).glob("outputs/*/records.jsonl")
        outside = _outside(records)
    table = Result("python -m bmtune.search gan", ("figure", "found", "asked at most", "met"))
    table.rows += [
        ("seconds to the first epoch", first, FIRST_EPOCH, first <= FIRST_EPOCH),
        ("seconds in all", whole, WHOLE, whole <= WHOLE),
        ("share of time outside training", outside, OUTSIDE, outside <= OUTSIDE),
    ]
    return [table]


def _timed(folder: Path) -> tuple[float, float]:
    """Seconds until the first epoch is in the records, which is when it is shown, and until the end."""
    began, first = perf_counter(), float("nan")
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
            first = perf_counter() - began
    if process.wait() != 0:
        raise RuntimeError(f"the search ended with exit code {process.returncode}")
    return first, perf_counter() - began


def _outside(path: Path) -> float:
    """The share of the slots' time, from the first trial's start to the last one's end, in which no epoch ran."""
    records = list(read_records(path).records)
    started = [record.time for record in records if isinstance(record, TrialStarted)]
    ended = [record.time for record in records if isinstance(record, TrialFinished)]
    trained = sum(record.seconds for record in records if isinstance(record, Epoch))
    slots = os.cpu_count() or 1
    return 1 - trained / (slots * (max(ended) - min(started)))
