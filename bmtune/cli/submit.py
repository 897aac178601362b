"""`bmtune submit`: a search as a job of a cluster somewhere else."""

from typing import Annotated

import typer

ADDRESS = "http://127.0.0.1:8265"

JobAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Ask the cluster whose dashboard answers there, instead of a folder of this machine.",
        show_default="a run on this machine",
    ),
]
"""Of `bmtune status` and `bmtune stop`."""


def submit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SEARCH...",
            help="What `bmtune search` takes: TRAINER and options; with --dry-run nothing is submitted.",
            show_default="needed",
        ),
    ] = None,
    *,
    address: Annotated[
        str, typer.Option("--address", metavar="URL", help="Where the dashboard of the cluster answers.")
    ] = ADDRESS,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not show what the job writes.")] = False,
) -> int:
    """Run a search as a job of a Ray cluster: search space, data file and this version of bmtune go along.

    The run lies on the head of the cluster, in ~/outputs, or in the --storage that is given. Ctrl-C leaves the job
    running. The cluster's token is read as Ray does: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    """
    from bmtune.cli.submitting import submit_search

    return submit_search(words or [], address, follows=not no_wait)
