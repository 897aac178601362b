"""`bmtune stop`: ends a run in good order, here or on a cluster."""

from typing import Annotated

import typer

from bmtune.cli.submit import JobAddress


def stop(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Folder of a run, or its name below outputs/; with --address its name, or a job's id."
        ),
    ],
    *,
    address: JobAddress = None,
) -> int:
    """End a search as Ctrl-C does: what it found is kept, and it can go on later."""
    from bmtune.cli.standing import stop_job
    from bmtune.cli.standing import stop_local

    return stop_local(run) if address is None else stop_job(run, address)
