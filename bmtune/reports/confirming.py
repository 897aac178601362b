"""A confirmation for a reader: how far it is, and its table."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.table import Table

from bmtune.config.best import ConfirmationEntry
from bmtune.config.best import IntervalEntry
from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.reports.wording import duration
from bmtune.reports.wording import number


def describe_training(progress: ConfirmationProgress) -> str | None:
    """The training that has just ended, in a line: `3/20: trial 17, seed 815: fid 1.3e-04 at epoch 80`."""
    end = progress.latest
    if end is None:
        return None
    result = f"failed ({end.reason})"
    if end.value is not None:
        result = f"{progress.metric} {number(end.value)} at epoch {end.epoch}"
    return f"{progress.done}/{progress.total}: trial {end.trial}, seed {end.seed}: {result}"


def describe_epochs(progress: ConfirmationProgress) -> str:
    """How far all trainings are: `confirming: 3/20 trainings, 512 of at most 2000 epochs`."""
    return (
        f"confirming: {progress.done}/{progress.total} trainings, {progress.epochs} of at most {progress.budget} epochs"
    )


class ConfirmationLines:
    """Hands a line for each training that ended to `write`."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Writes a line, if a training has ended."""
        text = describe_training(progress)
        if text is not None:
            self._say(text)

    def _say(self, text: str) -> None:
        self._write(f"[{duration(self._clock() - self._began):>8}] {text}")

    def __enter__(self) -> Self:
        """Says what happens until the first training has ended."""
        self._say("starting Ray and its workers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""


class ConfirmationBar:
    """Draws a bar of all epochs, while its context is open."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[trainings]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs {task.fields[latest]}"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._latest = ""
        self._task = self._progress.add_task("", total=None, trainings="starting Ray", latest="")

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Moves the bar."""
        latest = describe_training(progress)
        self._latest = self._latest if latest is None else latest.partition(": ")[2]
        self._progress.update(
            self._task,
            completed=progress.epochs,
            total=progress.budget,
            trainings=f"{progress.done}/{progress.total} trainings",
            latest=self._latest,
        )

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last state on the terminal."""
        self._progress.stop()


def table(found: ConfirmationEntry) -> Table:
    """Every configuration with its mean, and how the winner compares with it."""
    made = Table(
        *("trial", "mean", "low", "high", "sd", "winner -", "p"),
        title=f"{found.metric} on validation rows, {len(found.seeds)} fresh seeds, 95 % intervals",
        title_justify="left",
    )
    compared = {entry.trial: entry for entry in found.comparisons}
    for entry in found.trials:
        marks = [word for word, trial in (("winner", found.trial), ("base", found.base)) if trial == entry.trial]
        name = f"{entry.trial} ({', '.join(marks)})" if marks else str(entry.trial)
        if entry.mean is None or entry.sd is None:
            count = sum(value is None for value in entry.values)
            made.add_row(name, f"{count} failed", *[""] * 5)
            continue
        other = compared.get(entry.trial)
        tested = [_short(other.difference), _short(other.p_corrected)] if other else ["", ""]
        made.add_row(name, *_cells(entry.mean), _short(entry.sd), *tested)
    made.add_section()
    made.add_row("winner, shrunk", *_cells(found.estimate), *[""] * 3)
    for metric, measured in found.test.items():
        made.add_row(f"test {metric}", *_cells(measured), *[""] * 3)
    return made


def _cells(entry: IntervalEntry) -> list[str]:
    return [_short(entry.value), _short(entry.low), _short(entry.high)]


def _short(value: float) -> str:
    return f"{value:.3g}"
