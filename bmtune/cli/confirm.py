"""`bmtune confirm`: the best configurations of a run on seeds that the search has not seen."""

from pathlib import Path
from typing import Annotated

import typer


def confirm(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    top: Annotated[
        int, typer.Option("--top", metavar="K", help="Configurations, the best ones, besides the base one.")
    ] = 3,
    seeds: Annotated[int, typer.Option("--seeds", metavar="S", help="Trainings of each, at least 2.")] = 5,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDR",
            help="Ray cluster to join: auto, or its address.",
            show_default="one of its own on this machine",
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-trial", metavar="X", help="GPUs of one training, as in a search.", show_default="the search's"
        ),
    ] = None,
) -> int:
    """Train the K best configurations and the base one with S fresh seeds each, and say which is best.

    The verdict goes to RUN/best.yaml, a model of the winner to RUN/best/. What was interrupted goes on where it was.
    """
    from bmtune.cli.confirming import confirm_and_print
    from bmtune.search.confirm_choice import Wish

    by_name = Path("outputs") / run
    folder = by_name if by_name.is_dir() and not Path(run).is_dir() else Path(run)
    return confirm_and_print(folder, Wish(top, seeds), address, gpus_per_trial)
