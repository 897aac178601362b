"""One search from its request to what is printed at its end."""

import signal

import typer
from rich.console import Console

from bmtune.config.yaml_text import dump
from bmtune.errors import StoppedBySignalError
from bmtune.redaction import one_line
from bmtune.reports.events import Resolved
from bmtune.reports.events import Result
from bmtune.reports.events import Told
from bmtune.reports.json_progress import JsonProgress
from bmtune.reports.lines import LineProgress
from bmtune.reports.live import LiveProgress
from bmtune.reports.pareto_text import pareto_lines
from bmtune.reports.wording import plural
from bmtune.search.command import search
from bmtune.search.copy_address import below
from bmtune.search.outcome import SearchOutcome
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options
from bmtune.tracking import check_login

# What shells report for a program that a signal ended: 128 and its number.
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT


def print_resolved(request: SearchRequest, *, as_json: bool = False) -> int:
    """Prints the search as it would run, data checked, and writes nothing; returns the exit code.

    Args:
        request: What is searched.
        as_json: Whether to print an event for a program.

    Raises:
        BmtuneError: The request breaks a rule.
    """
    _prepare(request, writes=False)
    resolved = check_data(resolve_options(request))
    if as_json:
        search = resolved.to_mapping()
        JsonProgress(typer.echo).say(
            Resolved, run_folder=str(resolved.run_folder), resumes=resolved.resumes, search=search
        )
        return 0
    does = "go on" if resolved.resumes else "be written"
    typer.echo(one_line(f"# {resolved.run_folder} would {does}"))
    if resolved.copy_at is not None:
        typer.echo(one_line(f"# a copy would be kept at {below(resolved.copy_at, resolved.run_folder.name)}"))
    for entry in resolved.first.entries:
        typer.echo(one_line(f"# tried first, after the base configuration: {entry.source}"))
    typer.echo(dump(resolved.to_mapping()), nl=False)
    return 0


def run(request: SearchRequest, *, as_json: bool = False) -> int:
    """Runs the search, shows its progress and prints its winner; returns the exit code.

    Args:
        request: What is searched.
        as_json: Whether standard output is for a program: events, and nothing else.

    Raises:
        BmtuneError: The request breaks a rule, or the search gave up.
    """
    # What a user mistyped is told at once, before anything is drawn or started.
    _prepare(request)
    resolved = resolve_options(request)
    old, mode = resolved.old, resolved.space.run.wandb
    if old is not None and old.ended is not None:
        more = f"--trials larger than {old.num_started}"
        if old.num_started < resolved.space.budget.trials:
            more = f"another --time-budget, or {more},"
        typer.echo(
            f"{old.folder} has ended ({old.ended}) with {plural(old.num_started, 'trial')}; "
            f"give --resume and {more} to go on",
            err=as_json,
        )
        return _bring_up(resolved)
    if mode is not None:
        check_login(mode)
    try:
        with _listener(as_json=as_json) as listener:
            outcome = search(request, listener, listener, listener)
    except StoppedBySignalError as error:
        return _interrupted(error.signal, error.advice)
    if isinstance(listener, JsonProgress):
        _write_result(listener, outcome)
    else:
        _print_outcome(outcome)
    if not outcome.interrupted:
        return 0
    return _interrupted(outcome.signal or signal.SIGINT, outcome.advice)


def _prepare(request: SearchRequest, *, writes: bool = True) -> None:
    """Checks the copy of the run elsewhere, if there is to be one, and brings it here where it is needed."""
    if request.copy_at is not None:
        # Imported here: pyarrow and torch take seconds.
        from bmtune.search.copy_here import prepare

        prepare(request, writes=writes)


def _bring_up(resolved: ResolvedSearch) -> int:
    """Copies what an ended search could not; returns the exit code."""
    if resolved.copy_at is None:
        return 0
    from bmtune.search.run_copy import bring_up

    text, whole = bring_up(resolved)
    typer.echo(text, err=True)
    return 0 if whole else 1


def _listener(*, as_json: bool) -> LiveProgress | LineProgress | JsonProgress:
    """Whoever shows the search: to a program, on a terminal, in a log."""
    if as_json:
        return JsonProgress(typer.echo)
    console = Console()
    return LiveProgress(console) if console.is_terminal else LineProgress(typer.echo)


def _interrupted(number: int, advice: str | None) -> int:
    """Says so, and returns the exit code; the code of Ctrl-C is told for all commands in one place."""
    code = SIGNALLED + number
    if advice is not None:
        typer.echo(advice, err=True)
    if code != INTERRUPTED:
        typer.echo("interrupted", err=True)
    return code


def _print_outcome(outcome: SearchOutcome) -> None:
    if outcome.interrupted:
        typer.echo(f"what was found so far is in {outcome.run_folder}", err=True)
    if outcome.notice is not None:
        typer.echo(outcome.notice, err=True)
    if outcome.best is not None:
        typer.echo(f"# the best configuration, kept in {outcome.run_folder / 'best.yaml'}")
        for line in pareto_lines(outcome.best):
            typer.echo(f"# {line}")
        if outcome.best.confirmation is not None:
            typer.echo(f"# {outcome.best.confirmation.verdict}")
        typer.echo(dump(outcome.best.model_dump(mode="json")), nl=False)


def _write_result(listener: JsonProgress, outcome: SearchOutcome) -> None:
    best = outcome.best
    confirmed = None if best is None else best.confirmation
    if outcome.notice is not None:
        listener.say(Told, text=outcome.notice)
    listener.say(
        Result,
        run_folder=str(outcome.run_folder),
        best_file=None if best is None else str(outcome.run_folder / "best.yaml"),
        trial=None if best is None else best.best.trial,
        value=None if best is None else best.best.value,
        verdict=None if confirmed is None else confirmed.verdict,
        interrupted=outcome.interrupted,
        exit_code=SIGNALLED + (outcome.signal or signal.SIGINT) if outcome.interrupted else 0,
    )
