"""A GAN search on `moons_4k`: 200 bins, 256 rows a class, 20 critic steps.

Once as by default, with halving and patience, and once with nothing that stops a trial before its last epoch.

`BMTUNE_BENCHMARK_TRIALS` and `BMTUNE_BENCHMARK_EPOCHS` make it smaller than 64 trials of 40 epochs.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.pack_search import MIB
from benchmarks.pack_search import num_failed
from benchmarks.pack_search import search
from benchmarks.table import Result
from bmtune.records import Epoch

TRIALS = int(os.environ.get("BMTUNE_BENCHMARK_TRIALS", "64"))
EPOCHS = int(os.environ.get("BMTUNE_BENCHMARK_EPOCHS", "40"))
ASKED = 300.0
"""Seconds that the search is asked to take at most."""
FIXED = {"critic.steps": 20, "sampling.num_per_class": 256, "sampling.num_bins": 200}


def run() -> list[Result]:
    """Both searches."""
    columns = ("halving", "s", "s to 1st epoch", "GAN epochs", "other epochs", "CPU s", "MiB", "best fid", "failed")
    table = Result(f"GAN search of {TRIALS} trials of {EPOCHS} epochs", (*columns, "asked s at most", "met"))
    fixed = [part for path, value in FIXED.items() for part in ("--set", f"trainer.ganstyle.{path}={value}")]
    options = ("gan", "--dataset", "moons_4k", "--trials", str(TRIALS), "--max-epochs", str(EPOCHS), *fixed)
    patient = ("--set", f"trainer.ganstyle.patience={EPOCHS}")
    for scheduler, further in (("asha", ()), ("none", patient)):
        with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
            watched, records = search(Path(folder), "gan", (*options, "--scheduler", scheduler, *further))
        epochs = [record for record in records if isinstance(record, Epoch)]
        phases = Counter(record.phase for record in epochs)
        best = min(record.best_metrics["fid"] for record in epochs if record.best_metrics is not None)
        counts = (phases["gan"], phases.total() - phases["gan"])
        used = (watched.seconds, watched.first, *counts, watched.cpu, round(watched.memory / MIB))
        table.rows.append((scheduler, *used, best, num_failed(records), ASKED, watched.seconds <= ASKED))
    return [table]
