"""What packs cost beside training: time that hosts do not train, and memory of 32 lanes.

`BMTUNE_BENCHMARK_TRIALS` and `BMTUNE_BENCHMARK_EPOCHS` make it smaller than 128 trials of 30 epochs.
"""

import os
import tempfile
from pathlib import Path

from benchmarks.pack_search import MIB
from benchmarks.pack_search import search
from benchmarks.pack_search import space
from benchmarks.table import Result
from bmtune.records import Epoch
from bmtune.records import TrialFinished

LANES = 32
TRIALS = int(os.environ.get("BMTUNE_BENCHMARK_TRIALS", "128"))
EPOCHS = int(os.environ.get("BMTUNE_BENCHMARK_EPOCHS", "30"))
BATCH_SIZE = 4
"""With so few rows a step an epoch of 32 lanes takes about a second on one core."""
OUTSIDE, MEMORY = 0.05, 3.0
"""Asked at most: share of the hosts' time outside training, and memory of 32 lanes in that of one process."""


def run() -> list[Result]:
    """The share of time outside training, and memory."""
    with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
        return [_control(Path(folder)), _memory(Path(folder))]


def _control(folder: Path) -> Result:
    """Training time in the records over the time of all hosts, from the first epoch's start to the last one's end."""
    (folder / "control.yaml").write_text(space(TRIALS, EPOCHS, BATCH_SIZE), encoding="utf-8")
    options = ("classification", "--space", "control.yaml", "--scheduler", "none", "--pack", str(LANES))
    watched, records = search(folder, "control", options)
    hosts = os.cpu_count() or 1
    lanes = min(LANES, TRIALS // hosts)
    # Seconds of a lane's epoch are its share of those of the pack.
    shares = [record.seconds for record in records if isinstance(record, Epoch)]
    began = watched.shown - lanes * shares[0]
    ended = max(record.time for record in records if isinstance(record, TrialFinished))
    outside = 1 - sum(shares) / (hosts * (ended - began))
    table = Result(
        f"time outside training, {hosts} hosts of {lanes} lanes",
        ("s an epoch of a pack", "s from the first epoch on", "outside training", "asked at most", "met"),
    )
    table.rows.append((sum(shares) / len(shares) * lanes, ended - began, outside, OUTSIDE, outside <= OUTSIDE))
    return table


def _memory(folder: Path) -> Result:
    """The most memory of 32 lanes in one process, and of one trial after another in one process."""
    epochs = min(EPOCHS, 20)
    (folder / "memory.yaml").write_text(space(LANES, epochs), encoding="utf-8")
    options = ("classification", "--space", "memory.yaml", "--scheduler", "none")
    one, _ = search(folder, "one", (*options, "--pack", "1", "--max-concurrent", "1", "--trials", "4"))
    # All processors for one host: it holds all lanes.
    wide = ("--pack", str(LANES), "--max-concurrent", str(LANES), "--cpus-per-trial", str(os.cpu_count() or 1))
    many, _ = search(folder, "many", (*options, *wide))
    table = Result(
        f"memory of {LANES} lanes", ("processes", "one trial MiB", "lanes MiB", "ratio", "asked at most", "met")
    )
    table.rows += [
        _row("that train", one.trained, many.trained),
        _row("all of the command", one.memory, many.memory),
    ]
    return table


def _row(name: str, one: int, many: int) -> tuple[object, ...]:
    return (name, round(one / MIB), round(many / MIB), many / one, MEMORY, many / one <= MEMORY)
