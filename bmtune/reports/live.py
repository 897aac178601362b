"""Progress on a terminal: one table that is drawn a few times a second, however fast records come."""

import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.console import Group
from rich.console import RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.redaction import one_line
from bmtune.reports.confirming import describe_epochs
from bmtune.reports.lines import describe
from bmtune.reports.lines import end_of_run
from bmtune.reports.lines import found
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialProgress
from bmtune.reports.wording import duration
from bmtune.reports.wording import metrics
from bmtune.reports.wording import number
from bmtune.reports.wording import plural

REFRESHES_PER_SECOND = 4

# Below this width a table keeps only what names a trial and how it does.
NARROW = 72

# Lines that the head and the frame of the table take.
_LINES_AROUND_TRIALS = 7


class LiveProgress:
    """Listens to records and keeps a table of the run on a terminal while its context is open.

    Records only change the tally; the table is drawn from it on a clock of its own, so that thousands of
    epochs a second cost nothing here.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._progress = RunProgress()
        self._confirming: ConfirmationProgress | None = None
        self._settled_before = 0
        self._found = ""
        # Drawing happens on rich's thread while records come in on the search's.
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self.render,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def catch_up(self, records: Sequence[Record]) -> None:
        """Counts what was recorded before, and remembers how the run was found."""
        with self._lock:
            for record in records:
                self._progress.on_record(record)
            self._settled_before = self._settled
            self._found = f"resumed with {found(self._progress)}, going on"

    @property
    def _settled(self) -> int:
        """Trials that no longer run; a paused one rarely goes on, and ends with the search."""
        return sum(trial.state != "running" for trial in self._progress.trials.values())

    def on_record(self, record: Record) -> None:
        """Adds one record to the tally; nothing is drawn."""
        with self._lock:
            self._progress.on_record(record)

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Remembers how far the confirmation is; nothing is drawn."""
        with self._lock:
            self._confirming = progress
            if progress.notice is not None:
                self._progress.on_record(Notice(text=progress.notice))

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draws the last state and leaves it on the terminal; a run that never began leaves nothing."""
        self._live.transient = self._progress.started is None
        self._live.stop()

    def render(self) -> RenderableType:
        """The table as of now."""
        with self._lock:
            return self._render(self._clock() - self._began)

    def _render(self, elapsed: float) -> RenderableType:
        progress = self._progress
        if progress.started is None:
            return Text(f"starting Ray and its workers, {duration(elapsed)} ...", style="dim")
        told = [self._found] if self._found else []
        texts = (*told, *(f"note: {text}" for text in progress.notices))
        notes = [Text(one_line(text), style="dim") for text in texts]
        head = [self._headline(elapsed), self._best_line(), *notes]
        if progress.finished is not None:
            confirming = [] if self._confirming is None else [Text(describe_epochs(self._confirming))]
            return Group(*head, Text(one_line(end_of_run(progress.finished, progress, elapsed))), *confirming)
        return Group(*head, self._table(progress.started.objective.metric, progress.started.max_epochs))

    def _headline(self, elapsed: float) -> Text:
        progress = self._progress
        assert progress.started is not None
        settled = self._settled
        waits = [f"{progress.count('paused')} paused", f"{progress.num_promotions} promoted later"]
        parts = [
            f"{progress.started.run}: {settled}/{plural(progress.started.trials, 'trial')}",
            f"{progress.count('running')} running",
            *(waits if progress.count("paused") or progress.num_promotions else ()),
            *(f"{progress.count(state)} {state}" for state in ("pruned", "failed")),
            f"{(progress.num_epochs - progress.num_before) / max(elapsed, 1e-9):.1f} epochs/s",
            duration(elapsed),
        ]
        now = settled - self._settled_before
        if now > 0 and settled < progress.started.trials:
            parts.append(f"about {duration(elapsed / now * (progress.started.trials - settled))} left")
        return Text(one_line(", ".join(parts)), style="bold")

    def _best_line(self) -> Text:
        ranked = self._progress.ranked()
        if not ranked or self._progress.started is None:
            return Text("best so far: none yet", style="dim")
        members = len(self._progress.pareto())
        which = f"best so far, first of the {members} in the Pareto set" if members else "best so far"
        return Text(f"{which}: {describe(ranked[0], self._progress.started.objective.metric)}", style="green")

    def _table(self, metric: str, max_epochs: int) -> Table:
        narrow = self._console.width < NARROW
        table = Table(box=None, pad_edge=False, expand=False, header_style="dim")
        table.add_column("trial", justify="right")
        if not narrow:
            table.add_column("phase")
        table.add_column("epoch", justify="right")
        table.add_column(f"best {metric}", justify="right")
        if not narrow:
            table.add_column("latest", no_wrap=True, overflow="ellipsis")
        running = [trial for trial in self._progress.trials.values() if trial.state == "running"]
        shown = running[: max(1, self._console.height - _LINES_AROUND_TRIALS)]
        for trial in shown:
            table.add_row(*self._row(trial, metric, max_epochs, narrow=narrow))
        if len(running) > len(shown):
            table.add_row("...", *[""] * (len(table.columns) - 2), f"{len(running) - len(shown)} more")
        return table

    def _row(self, trial: TrialProgress, metric: str, max_epochs: int, *, narrow: bool) -> list[str]:
        value = self._progress.value(trial)
        best = "-" if value is None else number(value)
        # The epochs of `pre` and `critic` do not count towards the budget, so they have no "of how many".
        epoch = f"{trial.budget}/{max_epochs}" if trial.budget else str(trial.epoch or "-")
        if narrow:
            return [str(trial.trial), epoch, best]
        return [str(trial.trial), trial.phase or "starting", epoch, best, metrics(trial.metrics, metric)]
