"""Whole searches on `moons_4k`: packs, a process for each trial (`--pack 1`), and Ray Tune with tensorkrowch.

The same rows, model (d=10, D=6, B=256), two searched parameters, trials and epochs; once without early stopping and
once with asynchronous halving. Each search is a command, and they follow one another.
`BMTUNE_BENCHMARK_TRIALS` and `BMTUNE_BENCHMARK_EPOCHS` make it smaller than 256 trials of 100 epochs, which take
about twenty minutes on two cores.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import yaml

from benchmarks import rival
from benchmarks.commands import Watched
from benchmarks.commands import watch
from benchmarks.table import Result
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.records import read_records

TRIALS = int(os.environ.get("BMTUNE_BENCHMARK_TRIALS", "256"))
EPOCHS = int(os.environ.get("BMTUNE_BENCHMARK_EPOCHS", "100"))
RIVAL_TRAINING, RIVAL_WHOLE, ALONE, FIRST_EPOCH = 10.0, 8.0, 4.0, 16.0
"""Asked: times as fast as the rival from the first epoch on and in all, as `--pack 1`; seconds to the first epoch."""
COLUMNS = (
    *("search", "halving", "s", "s to 1st epoch", "s from it on"),
    *("epochs", "epochs/s", "CPU s", "MiB", "loss", "failed"),
)
TRAINING_ROWS = 4000
MIB = 2**20


@dataclass(frozen=True)
class Found:
    """A search that has ended.

    Attributes:
        watched: Its time and memory.
        epochs: Epochs of all trials.
        loss: The best validation loss of any epoch.
        failed: Trials that failed.
        extra: Further sums that the rival tells.
    """

    watched: Watched
    epochs: int
    loss: float
    failed: int
    extra: dict[str, float]

    @property
    def training(self) -> float:
        """Seconds from the first epoch's report to the end."""
        return self.watched.seconds - self.watched.first

    @property
    def rate(self) -> float:
        """Epochs a second, from the first epoch's report on."""
        return (self.epochs - 1) / self.training


def space(trials: int, epochs: int, batch_size: int = rival.BATCH_SIZE) -> str:
    """The search space as a file: what the rival searches, at the same start.

    Args:
        trials: Trials in all.
        epochs: Epochs of one trial, which nothing but halving cuts short.
        batch_size: Rows a step.
    """
    machine = {"embedding": "fourier", "physical_dim": rival.PHYSICAL_DIM, "bond_dim": rival.BOND_DIM}
    training = {"batch_size": batch_size, "patience": epochs, "optimizer": {"name": "adam", "lr": rival.START["lr"]}}
    paths = {"lr": "trainer.classification.optimizer.lr", "init_std": "born.init_std"}
    content = {
        "trainer": "classification",
        "objective": {"metric": "loss"},
        "budget": {"trials": trials, "max_epochs": epochs, "eta": rival.ETA, "grace": min(rival.GRACE, epochs)},
        "base": {
            "data": {"dataset": rival.DATASET},
            "born": {**machine, "init": "identity", "init_std": rival.START["init_std"]},
            "trainer": {"classification": training},
        },
        "parameters": {
            paths[name]: {"type": "float", "low": low, "high": high, "log": True}
            for name, (low, high) in rival.RANGES.items()
        },
    }
    return yaml.safe_dump(content)


def search(folder: Path, name: str, options: Sequence[str]) -> tuple[Watched, tuple[Record, ...]]:
    """Runs `python -m bmtune.search` in a folder and reads its records."""
    command = [sys.executable, "-m", "bmtune.search", *options, "--sampler", "tpe", "--confirm", "none"]
    command += ["--name", name]
    watched = watch(command, folder, "first epoch")
    return watched, read_records(folder / "outputs" / name / "records.jsonl").records


def num_failed(records: Sequence[Record]) -> int:
    """How many trials failed: a search must not be fast for that reason."""
    return sum(isinstance(record, TrialFinished) and record.status == "failed" for record in records)


def run() -> list[Result]:
    """Three searches without early stopping, three with halving, what the ratios are, and the rival's epochs."""
    searches = Result(f"searches of {TRIALS} trials of {EPOCHS} epochs", COLUMNS)
    ratios = Result("packs against the others", ("figure", "halving", "found", "asked", "met"))
    split = Result(
        "the rival's epochs, ms", ("halving", "in all", "training", "a step", "validation", "Tune, Optuna, waiting")
    )
    for scheduler in ("none", "asha"):
        with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
            packs = _ours(Path(folder), scheduler, "packs", ())
            alone = _ours(Path(folder), scheduler, "alone", ("--pack", "1"))
            theirs = _rival(Path(folder), scheduler)
        named = {"bmtune, packs": packs, "bmtune --pack 1": alone, "Ray Tune, tensorkrowch": theirs}
        searches.rows += [_row(name, scheduler, found) for name, found in named.items()]
        ratios.rows += _ratios(scheduler, packs, alone, theirs)
        split.rows.append(_split(scheduler, theirs))
    return [searches, ratios, split]


def _ours(folder: Path, scheduler: str, name: str, options: Sequence[str]) -> Found:
    (folder / "space.yaml").write_text(space(TRIALS, EPOCHS), encoding="utf-8")
    fixed = ("classification", "--space", "space.yaml", "--scheduler", scheduler)
    watched, records = search(folder, name, (*fixed, *options))
    losses = [record.metrics["loss"] for record in records if isinstance(record, Epoch)]
    return _told(Found(watched, len(losses), min(filter(isfinite, losses)), num_failed(records), {}))


def _rival(folder: Path, scheduler: str) -> Found:
    sizes = ("--trials", str(TRIALS), "--epochs", str(EPOCHS), "--scheduler", scheduler)
    command = (sys.executable, "-m", "benchmarks.rival", *sizes)
    watched = watch(command, folder, rival.FIRST_EPOCH, rival.variables())
    sums = json.loads(watched.lines[-1])
    return _told(Found(watched, int(sums["epochs"]), sums["loss"], int(sums["failed"]), sums))


def _told(found: Found) -> Found:
    """Tells of a search at once: all of them together take long."""
    sys.stderr.write(f"{found.watched.seconds:.0f} s, {found.epochs} epochs, best loss {found.loss:.3g}\n")
    return found


def _row(name: str, scheduler: str, found: Found) -> tuple[object, ...]:
    watched = found.watched
    times = (watched.seconds, watched.first, found.training, found.epochs, found.rate, watched.cpu)
    return (name, scheduler, *times, round(watched.memory / MIB), found.loss, found.failed)


def _ratios(scheduler: str, packs: Found, alone: Found, theirs: Found) -> list[tuple[object, ...]]:
    whole, first = packs.watched.seconds, packs.watched.first
    compared = (
        ("times as fast as Ray Tune from the first epoch on", theirs.training / packs.training, RIVAL_TRAINING),
        ("times as fast as Ray Tune with start-up", theirs.watched.seconds / whole, RIVAL_WHOLE),
        ("times as fast as --pack 1 with start-up", alone.watched.seconds / whole, ALONE),
        ("times as fast as --pack 1 from the first epoch on", alone.training / packs.training, ALONE),
    )
    rows: list[tuple[object, ...]] = [
        (name, scheduler, ratio, f">= {asked:g}", ratio >= asked) for name, ratio, asked in compared
    ]
    # Halving does not train the same epochs on both sides: their rate is told too.
    rows.append(("epochs a second, times Ray Tune's", scheduler, packs.rate / theirs.rate, "-", "-"))
    rows.append(("seconds to the first epoch", scheduler, first, f"<= {FIRST_EPOCH:g}", first <= FIRST_EPOCH))
    return rows


def _split(scheduler: str, theirs: Found) -> tuple[object, ...]:
    """Milliseconds of an epoch on its slot: all of them, then how they were spent."""
    whole = theirs.training * (os.cpu_count() or 1) / theirs.epochs
    trained, validated = (theirs.extra[name] / theirs.epochs for name in ("train_s", "valid_s"))
    steps = -(-TRAINING_ROWS // rival.BATCH_SIZE)
    spent = (whole, trained, trained / steps, validated, whole - trained - validated)
    return (scheduler, *(seconds * 1e3 for seconds in spent))
