"""`bmtune data`: what data sets there are, getting them and looking at them."""

from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(no_args_is_help=True, help="List, fetch and check data sets.")

_Root = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="DIR", help="Folder of data files.", show_default="$BMTUNE_DATA, else ~/.cache/bmtune"
    ),
]


@data.command("list")
def list_sets(*, root: _Root = None) -> int:
    """List all data sets: rows, features, classes, and where they are or how to get them."""
    from bmtune.cli.data_listing import listing
    from bmtune.redaction import one_line

    for line in listing(root):
        typer.echo(one_line(line))
    return 0


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="mnist or fashion_mnist.")],
    *,
    root: _Root = None,
) -> int:
    """Download a data set into DIR, each file checked by its published SHA-256.

    Files that are there and right are kept.
    """
    from bmtune.cli.data_fetching import fetch_set

    return fetch_set(name, root)


@data.command()
def check(
    dataset: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", help="A name, ucr/NAME, or a path to a .csv, .tsv, .npz or .parquet file."),
    ],
    *,
    root: _Root = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", metavar="COLUMN", help="Column of the labels in a file.", show_default="label, else the last"
        ),
    ] = None,
) -> int:
    """Load a data set as a training would, and print what it holds."""
    from bmtune.cli.data_checking import print_facts

    return print_facts(dataset, root, label)
