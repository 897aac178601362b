"""Progress of one training: a line an epoch in a log, a bar on a terminal."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol
from typing import Self

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn

from bmtune.reports.wording import metrics
from bmtune.training import EpochReport


class EpochListener(Protocol):
    """Whoever wants to hear of every epoch of a training."""

    def on_epoch(self, report: EpochReport) -> None:
        """Called once for each epoch, in order."""


class EpochLines:
    """Hands one line, without its newline, for each epoch to `write`; a context like the bar."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def on_epoch(self, report: EpochReport) -> None:
        """Writes the line of this epoch."""
        self._write(f"{report.phase} {report.epoch}: {metrics(report.metrics)} in {report.seconds:.2g} s")

    def __enter__(self) -> Self:
        """The listener itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""


class EpochBar:
    """Draws a bar of the main phase with the latest metrics beside it, while its context is open."""

    def __init__(self, console: Console, max_epochs: int) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[latest]}"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=max_epochs, phase="starting", latest="")

    def on_epoch(self, report: EpochReport) -> None:
        """Moves the bar."""
        phase = f"{report.phase} {report.epoch}"
        self._progress.update(self._task, completed=report.budget, phase=phase, latest=metrics(report.metrics))

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last state on the terminal."""
        self._progress.stop()
