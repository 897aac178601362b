"""One search from its request to what is printed at its end."""

import typer
from rich.console import Console

from bmtune.config.yaml_text import dump
from bmtune.reports.lines import LineProgress
from bmtune.reports.live import LiveProgress
from bmtune.search.command import search
from bmtune.search.outcome import SearchOutcome
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options
from bmtune.tracking import check_login

# What shells report for a program that a signal ended: 128 and its number.
SIGNALLED = 128


def print_resolved(request: SearchRequest) -> int:
    """Prints the search as it would run, data checked, and writes nothing; returns the exit code.

    Raises:
        BmtuneError: The request breaks a rule.
    """
    resolved = check_data(resolve_options(request))
    typer.echo(f"# {resolved.run_folder} would be written")
    typer.echo(dump(resolved.to_mapping()), nl=False)
    return 0


def run(request: SearchRequest) -> int:
    """Runs the search, shows its progress and prints its winner; returns the exit code.

    Raises:
        BmtuneError: The request breaks a rule, or the search gave up.
    """
    # What a user mistyped is told at once, before anything is drawn or started.
    mode = resolve_options(request).space.run.wandb
    if mode is not None:
        check_login(mode)
    console = Console()
    with LiveProgress(console) if console.is_terminal else LineProgress(typer.echo) as listener:
        outcome = search(request, listener)
    _print_outcome(outcome)
    return SIGNALLED + outcome.signal if outcome.signal is not None else 0


def _print_outcome(outcome: SearchOutcome) -> None:
    if outcome.interrupted:
        typer.echo(f"what was found so far is in {outcome.run_folder}", err=True)
    if outcome.notice is not None:
        typer.echo(outcome.notice, err=True)
    if outcome.best is not None:
        typer.echo(f"# the best configuration, kept in {outcome.run_folder / 'best.yaml'}")
        typer.echo(dump(outcome.best.model_dump(mode="json")), nl=False)
    if outcome.advice is not None:
        typer.echo(f"interrupted; {outcome.advice}", err=True)
