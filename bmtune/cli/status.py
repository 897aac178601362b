"""`bmtune status`: how far a run is, here or on a cluster."""

from typing import Annotated

import typer

from bmtune.cli.submit import JobAddress


def status(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Folder of a run, or its name below outputs/; with --address its name, or a job's id."
        ),
    ],
    *,
    address: JobAddress = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show what the job writes until it ends.")] = False,
) -> int:
    """Show how far a run is: trials, epochs, its best, and whether it is going on."""
    from bmtune.cli.standing import show_job
    from bmtune.cli.standing import show_run

    return show_run(run, follows=follow) if address is None else show_job(run, address, follows=follow)
