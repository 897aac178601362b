"""`bmtune export`: the records of a run as a table."""

from pathlib import Path
from typing import Annotated
from typing import Literal

import typer


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    file_format: Annotated[
        Literal["csv", "parquet", "json"], typer.Option("--format", help="Format of the table.")
    ] = "csv",
    table: Annotated[
        Literal["trials", "epochs"], typer.Option("--table", help="A row for each trial, or for each of its epochs.")
    ] = "trials",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to write.", show_default="standard output"),
    ] = None,
) -> int:
    """Write all trials of a run, or all their epochs, as a table, with every number as it was recorded."""
    from bmtune.cli.exporting import export_table
    from bmtune.cli.run_folders import run_folder

    return export_table(run_folder(run), table, file_format, output)
