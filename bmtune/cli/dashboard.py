"""`bmtune dashboard`: a run in a browser, live."""

from typing import Annotated

import typer


def dashboard(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, metavar="N", help="Port of this machine.", show_default="a free one"),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address; open no browser.")] = False,
) -> int:
    """Show a run in optuna-dashboard, while its search runs and after, until Ctrl-C.

    Only this machine can reach it, and nothing can be changed there. Needs bmtune[dashboard].
    """
    from bmtune.cli.dashboarding import show
    from bmtune.cli.run_folders import run_folder

    return show(run_folder(run), port or 0, open_page=not no_open)
