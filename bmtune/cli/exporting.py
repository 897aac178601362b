"""A table of a run from its records to a file or to standard output."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import typer

from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.reports.export import write_csv
from bmtune.reports.export import write_json
from bmtune.reports.export import write_parquet
from bmtune.reports.history import read_run
from bmtune.reports.tables import TableName
from bmtune.reports.tables import make_table

_TEXT = {"csv": write_csv, "json": write_json}


def export_table(
    folder: Path, name: TableName, file_format: Literal["csv", "parquet", "json"], output: Path | None
) -> int:
    """Writes one table of a run; returns the exit code.

    Raises:
        BmtuneError: The folder holds no readable run, or the file cannot be written.
    """
    if file_format == "parquet" and output is None:
        raise ConfigError(
            "--format parquet must have a file to write, but got none (command line: --output); "
            "add --output trials.parquet"
        )
    read = read_run(folder)
    if read.notice:
        typer.echo(f"note: {read.notice}", err=True)
    table = make_table(read.history, name)
    if output is None:
        with suppress(BrokenPipeError):
            _TEXT[file_format](table, sys.stdout)
            sys.stdout.flush()
            return 0
        # Whoever read it, such as `head`, has had enough; Python would complain when it closes the stream at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    try:
        if file_format == "parquet":
            write_parquet(table, output)
        else:
            with output.open("w", encoding="utf-8", newline="") as file:
                _TEXT[file_format](table, file)
    except OSError as error:
        raise RunFolderError(
            f"a table must lie where files can be written, but {output} cannot be ({error.strerror or error}); "
            "give another place with --output"
        ) from error
    typer.echo(f"{len(table.rows)} rows, {len(table.columns)} columns: {output}", err=True)
    return 0
