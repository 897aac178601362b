"""A comparison as tables for a terminal."""

from rich.table import Table
from rich.text import Text

from bmtune.reports.comparison import Axis
from bmtune.reports.comparison import Comparison
from bmtune.reports.comparison import best_at
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
    """The best value so far of each run, at places that all share; the best of a place is set off."""
    marks = marks_of(comparison, axis)
    what = "epochs of all trials" if axis == "epochs" else "length of the search"
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title=f"best {comparison.metric} of any trial so far, by {what}",
        title_justify="left",
    )
    table.add_column("run", overflow="fold")
    for mark in marks:
        table.add_column(f"{mark:g}" if axis == "epochs" else duration(mark), justify="right")
    found = [best_at(run.history, axis, marks) for run in comparison.runs]
    sign = -1 if comparison.mode == "max" else 1
    for run, values in zip(comparison.runs, found, strict=True):
        cells = []
        for place, value in enumerate(values):
            others = [row[place] for row in found]
            known = [other for other in others if other is not None]
            first = value is not None and sign * value == min(sign * other for other in known)
            cells.append("" if value is None else f"[bold]{number(value)}[/bold]" if first else number(value))
        table.add_row(Text(run.label), *cells)
    return table
