"""A comparison as tables for a terminal."""

from rich.table import Table
from rich.text import Text

from bmtune.reports.comparison import Axis
from bmtune.reports.comparison import BestSoFar
from bmtune.reports.comparison import Comparison
from bmtune.reports.comparison import best_at
from bmtune.reports.comparison import mark_text
from bmtune.reports.comparison import marks_of
from bmtune.reports.wording import duration
from bmtune.reports.wording import number


def overview(comparison: Comparison) -> Table:
    """One row a run: what it found and what it cost."""
    aim = "highest" if comparison.mode == "max" else "lowest"
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column("run", overflow="fold")
    table.add_column("trainer")
    for name in (f"{aim} {comparison.metric}", "on test rows", "trial", "trials", "epochs", "search", "trained"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for run in comparison.runs:
        table.add_row(
            Text(run.label),
            run.history.started.trainer,
            *("-" if value is None else number(value) for value in (run.value, run.test)),
            "-" if run.winner is None else str(run.winner.trial),
            str(len(run.history.progress.trials)),
            str(run.history.progress.num_epochs),
            duration(run.cost.wall_s),
            duration(run.cost.trained_s),
            run.verdict,
        )
    return table


def progress_table(comparison: Comparison, axis: Axis) -> Table:
    """The best value so far of each run, at places that all share; a run that had ended by then stands in parentheses.

    The best of a place is set off.
    """
    marks = marks_of(comparison, axis)
    what = "epochs of all trials" if axis == "epochs" else "length of the search"
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column(f"best {comparison.metric} so far, by {what}", overflow="fold")
    for mark in marks:
        table.add_column(mark_text(mark, axis), justify="right")
    found = [best_at(run.history, axis, marks) for run in comparison.runs]
    sign = -1 if comparison.mode == "max" else 1
    least = [
        min((sign * best.value for best in column if best.value is not None), default=None)
        for column in zip(*found, strict=True)
    ]
    for run, row in zip(comparison.runs, found, strict=True):
        cells = [
            _cell(best, first=best.value is not None and sign * best.value == low)
            for best, low in zip(row, least, strict=True)
        ]
        table.add_row(Text(run.label), *cells)
    return table


def _cell(best: BestSoFar, *, first: bool) -> Text:
    if best.value is None:
        return Text("-")
    text = f"({number(best.value)})" if best.ended else number(best.value)
    return Text(text, style="bold" if first else "")
