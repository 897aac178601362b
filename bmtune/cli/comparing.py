"""A comparison of runs from their records to a terminal and a page."""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from bmtune.cli.reporting import write_page
from bmtune.reports.comparison import compare
from bmtune.reports.comparison_page import comparison_page
from bmtune.reports.comparison_text import overview
from bmtune.reports.comparison_text import progress_table
from bmtune.reports.history import read_run

# A pipe has no width; tables that were cut off would lose numbers.
_WIDTH_OF_A_PIPE = 160


def compare_runs(folders: Sequence[Path], page: Path | None) -> int:
    """Prints the comparison, and writes its page where one is wanted; returns the exit code.

    Raises:
        BmtuneError: A folder holds no readable run, the runs cannot be compared, or the page cannot be written.
    """
    reads = [read_run(folder) for folder in folders]
    comparison = compare(reads)
    for notice in filter(None, (read.notice for read in reads)):
        typer.echo(f"note: {notice}", err=True)
    for warning in comparison.warnings:
        typer.echo(f"note: {warning}", err=True)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_PIPE)
    console.print(overview(comparison))
    if any(run.history.incumbents for run in comparison.runs):
        for axis in ("epochs", "seconds"):
            console.print()
            console.print(progress_table(comparison, axis))
    if page is not None:
        write_page(page, comparison_page(comparison))
        typer.echo(f"page: {page}")
    return 0
