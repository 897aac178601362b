"""`bmtune report`: a run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to write the page.", show_default="report.html in RUN"),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="NAME", help="Whose learning curves come first.", show_default="the objective"
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> int:
    """Write what a run found, and how, to one HTML file: finished, still going on, or killed.

    The file holds everything and loads nothing from any network.
    """
    from bmtune.cli.reporting import write_report
    from bmtune.cli.run_folders import run_folder

    return write_report(run_folder(run), output, metric, open_page=open_page)
