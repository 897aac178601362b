"""`bmtune compare`: several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Folders of runs, or their names below outputs/.")
    ],
    *,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write one HTML page.", show_default="not written"),
    ] = None,
) -> int:
    """Compare runs of one metric on one data set: what each found, and how soon."""
    from bmtune.cli.comparing import compare_runs
    from bmtune.cli.run_folders import run_folder

    return compare_runs([run_folder(run) for run in runs], page)
