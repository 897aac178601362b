"""The report of a run from its records to its file."""

import math
import webbrowser
from pathlib import Path

import typer

from bmtune.errors import RunFolderError
from bmtune.reports.common_epoch import CommonEpoch
from bmtune.reports.common_epoch import common_epoch
from bmtune.reports.history import RunRead
from bmtune.reports.history import read_run
from bmtune.reports.report_page import ImportanceRow
from bmtune.reports.report_page import ImportanceTable
from bmtune.reports.report_page import report_page

REPORT_FILE = "report.html"


def write_report(folder: Path, output: Path | None, metric: str | None, *, open_page: bool) -> int:
    """Writes the page of a run; returns the exit code.

    Raises:
        BmtuneError: The folder holds no readable run, `metric` was not recorded, or the file cannot be written.
    """
    read = read_run(folder)
    common = common_epoch(read.history)
    page = report_page(read, common, _importances(read, common), metric)
    path = output or folder / REPORT_FILE
    write_page(path, page)
    typer.echo(f"report: {path} ({len(page.encode()) / 1e6:.1f} MB)")
    if open_page and not webbrowser.open(path.resolve().as_uri()):
        typer.echo(f"note: no browser was found; open {path} in one", err=True)
    return 0


def write_page(path: Path, page: str) -> None:
    """Writes a page, replacing an older one in one step.

    Raises:
        RunFolderError: The file cannot be written there.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(page, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise RunFolderError(
            f"a page must lie where files can be written, but {path} cannot be ({error.strerror}); "
            "give another place with --output"
        ) from error


def _importances(read: RunRead, common: CommonEpoch) -> ImportanceTable:
    # Imported here: Optuna takes a second, in which a mistyped folder or metric has been told.
    from bmtune.search.importances import FEWEST_TOP
    from bmtune.search.importances import FEWEST_TRIALS
    from bmtune.search.importances import TARGET
    from bmtune.search.importances import importances

    found = importances(read.space, [(trial.params, trial.value) for trial in common.trials])
    rows = tuple(ImportanceRow(row.path, row.share, row.chance) for row in found.found)
    # The search knows how many trials its method needs, the page says it.
    return ImportanceTable(rows, found.trials, found.top, FEWEST_TRIALS, math.floor(FEWEST_TOP / TARGET))
