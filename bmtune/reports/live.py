"""Progress on a terminal: one table that is drawn a few times a second, however fast records come."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.console import Group
from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RunStarted
from bmtune.redaction import one_line
from bmtune.reports.confirming import describe_epochs
from bmtune.reports.lines import describe
from bmtune.reports.lines import end_of_run
from bmtune.reports.lines import found
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialProgress
from bmtune.reports.sparkline import BestCourse
from bmtune.reports.sparkline import sparkline
from bmtune.reports.wording import duration
from bmtune.reports.wording import metrics
from bmtune.reports.wording import number
from bmtune.reports.wording import plural

REFRESHES_PER_SECOND = 4

# Below this width a table keeps only what names a trial and how it does.
NARROW = 72

# Lines besides the head and the trials: the bar, the header, what is left out, and one that stays empty.
_LINES_AROUND_TRIALS = 4

# Cells of the bar and of the course of the best value; both are left out where there is no room for them.
_BAR = 24
_COURSE = 32

# Hosts whose lanes are told one by one.
_MOST_HOSTS = 4


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
        self._course = BestCourse()
        self._lanes: Callable[[], Sequence[tuple[int, int]]] = tuple
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

    def on_lanes(self, lanes: Callable[[], Sequence[tuple[int, int]]]) -> None:
        """Remembers whom to ask how full the processes are that train."""
        self._lanes = lanes

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
        head = [self._headline(elapsed), self._best_line(elapsed), *self._failures(), *notes]
        if progress.finished is not None:
            confirming = [] if self._confirming is None else [Text(describe_epochs(self._confirming))]
            return Group(*head, Text(one_line(end_of_run(progress.finished, progress, elapsed))), *confirming)
        taken = sum(1 if text.no_wrap else len(text.wrap(self._console, self._console.width)) for text in head)
        table = self._table(progress.started, max(1, self._console.height - taken - _LINES_AROUND_TRIALS))
        return Group(*head, self._bar_and_course(progress.started), table)

    def _headline(self, elapsed: float) -> Text:
        progress = self._progress
        assert progress.started is not None
        settled = self._settled
        waits = [f"{progress.count('paused')} paused", f"{progress.num_promotions} promoted later"]
        parts = [
            f"{progress.started.run}: {settled}/{plural(progress.started.trials, 'trial')}",
            f"{progress.count('running')} running{lanes_in_words(self._lanes())}",
            *(waits if progress.count("paused") or progress.num_promotions else ()),
            *(f"{progress.count(state)} {state}" for state in ("pruned", "failed")),
            f"{(progress.num_epochs - progress.num_before) / max(elapsed, 1e-9):.1f} epochs/s",
            duration(elapsed),
        ]
        now = settled - self._settled_before
        if now > 0 and settled < progress.started.trials:
            parts.append(f"about {duration(elapsed / now * (progress.started.trials - settled))} left")
        return Text(one_line(", ".join(parts)), style="bold")

    def _best_line(self, elapsed: float) -> Text:
        ranked = self._progress.ranked()
        if not ranked or self._progress.started is None:
            return Text("best so far: none yet", style="dim")
        value = self._progress.value(ranked[0])
        if value is not None:
            self._course.see(self._progress.num_epochs, elapsed, value)
        members = len(self._progress.pareto())
        which = f"best so far, first of the {members} in the Pareto set" if members else "best so far"
        text = f"{which}: {describe(ranked[0], self._progress.started.objective.metric)}"
        if len(self._course.seen) > 1 and self._progress.finished is None and not members:
            before, latest = self._course.seen[-2:]
            text += f" (before: {number(before.value)}, {duration(elapsed - latest.seconds)} ago)"
        return Text(text, style="green")

    def _failures(self) -> list[Text]:
        """The most frequent cause of failures, so that nobody waits for a search that cannot come to anything."""
        reasons = Counter(trial.reason for trial in self._progress.trials.values() if trial.state == "failed")
        if not reasons:
            return []
        reason, count = reasons.most_common(1)[0]
        return [Text(one_line(f"failed: {count} x {reason}"), style="red", overflow="ellipsis", no_wrap=True)]

    def _bar_and_course(self, started: RunStarted) -> Table:
        """How far the search is, and how the best value got where it is."""
        line = Table.grid(padding=(0, 2))
        width = self._console.width
        cells: list[RenderableType] = []
        if width >= _BAR:
            cells.append(ProgressBar(total=started.trials, completed=self._settled, width=_BAR))
        if self._course.seen and width >= _BAR + _COURSE + 20:
            values = self._course.values(self._progress.num_epochs, _COURSE)
            rises = started.objective.mode == "max"
            course = sparkline(values, rises=rises, ascii_only=self._console.options.ascii_only)
            first, last = self._course.seen[0].value, self._course.seen[-1].value
            cells.append(Text(f"{course} {number(first)} to {number(last)}", style="green", no_wrap=True))
        line.add_row(*cells)
        return line

    def _table(self, started: RunStarted, most: int) -> Table:
        """Trials that run, `most` of them and the number of others."""
        metric, max_epochs = started.objective.metric, started.max_epochs
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
        shown = running[:most]
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


def lanes_in_words(lanes: Sequence[tuple[int, int]]) -> str:
    """` in lanes 8/10 7/10`: trials, and the most that there may be, of each process that trains; of many, the sum."""
    if not lanes:
        return ""
    if len(lanes) <= _MOST_HOSTS:
        return f" in lanes {' '.join(f'{taken}/{most}' for taken, most in lanes)}"
    taken, most = (sum(column) for column in zip(*lanes, strict=True))
    return f" in {taken}/{most} lanes of {len(lanes)} processes"
