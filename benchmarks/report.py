"""`bmtune report` of 1,000 trials of 100 epochs: seconds, size, and seconds to load the page in Chromium."""

import sys
import tempfile
from pathlib import Path

from benchmarks.browser import browser
from benchmarks.browser import load
from benchmarks.browser import missing
from benchmarks.commands import watch
from benchmarks.synthetic_run import write_run
from benchmarks.table import Result

TRIALS, EPOCHS = 1000, 100
WRITE_S, SIZE_MB, LOAD_S = 10.0, 5.0, 2.0
"""Seconds to write the page, its megabytes, and seconds to load it: what is asked at most."""


def run() -> list[Result]:
    """Reports of a run in which every trial trains every epoch, and of one with halving."""
    table = Result("bmtune report", ("run", "figure", "found", "asked at most", "met"))
    for name, halving in (("no halving", False), ("halving", True)):
        with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
            made = write_run(Path(folder) / "run", TRIALS, EPOCHS, halving=halving)
            watched = watch([sys.executable, "-m", "bmtune", "report", str(made)], Path(folder), "report:")
            page = made / "report.html"
            size = page.stat().st_size / 1e6
            table.rows += [
                (name, "seconds to write", watched.seconds, WRITE_S, watched.seconds < WRITE_S),
                (name, "megabytes", size, SIZE_MB, size < SIZE_MB),
                (name, "seconds to load", *_loaded(page)),
            ]
    return [table]


def _loaded(page: Path) -> tuple[object, object, object]:
    reason = missing()
    if reason is not None:
        return reason, LOAD_S, "-"
    with browser() as driver:
        seconds = load(driver, page)
    return seconds, LOAD_S, seconds < LOAD_S
