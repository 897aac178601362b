"""One confirmation from its run to what is printed at its end."""

from pathlib import Path

import typer
from rich.console import Console

from bmtune.reports.confirming import ConfirmationBar
from bmtune.reports.confirming import ConfirmationLines
from bmtune.reports.confirming import table
from bmtune.search.confirm_choice import Wish
from bmtune.search.confirm_command import confirm_run


def confirm_and_print(folder: Path, wish: Wish, address: str | None, gpus_per_trial: float | None) -> int:
    """Confirms, shows the progress and prints the verdict; returns the exit code.

    Raises:
        BmtuneError: Something cannot be confirmed.
    """
    console = Console()
    with ConfirmationBar(console) if console.is_terminal else ConfirmationLines(typer.echo) as follower:
        found = confirm_run(folder, wish, follower, address=address, gpus_per_trial=gpus_per_trial)
    if found.notice is not None:
        typer.echo(f"note: {found.notice}", err=True)
    confirmation = found.best.confirmation
    assert confirmation is not None, "a confirmation was written"
    console.print(table(confirmation))
    typer.echo(confirmation.verdict)
    typer.echo(f"kept in {folder / 'best.yaml'}; {confirmation.kept}")
    return 0
