"""A dashboard from its run to its end by Ctrl-C."""

import signal
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import typer

from bmtune.config.constraints import broken
from bmtune.config.space_model import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.errors import DashboardError
from bmtune.records import Record
from bmtune.redaction import one_line
from bmtune.reports.links import links
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialState
from bmtune.reports.summary import best_of
from bmtune.reports.wording import metrics


def show(folder: Path, port: int, *, open_page: bool) -> int:
    """Serves a run until Ctrl-C or SIGTERM; returns the exit code.

    Raises:
        BmtuneError: There is no readable run, the port is taken, or optuna-dashboard is not installed.
    """
    if find_spec("optuna_dashboard") is None:
        raise DashboardError(
            "bmtune dashboard needs the package optuna-dashboard, but it is not installed; "
            "install it with: pip install 'bmtune[dashboard]'"
        )
    # Imported here: it is there, and it takes a second.
    from bmtune.search.dashboard import dashboard

    over = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    try:
        with dashboard(folder, lambda space: RunNote(folder, space), port) as served:
            typer.echo(f"dashboard: {served.url} (Ctrl-C ends it)")
            if served.mirror.best is None:
                typer.echo("note: no trial has finished an epoch of its main phase yet; the page shows it", err=True)
            for link in links(folder):
                typer.echo(one_line(link))
            if open_page and not webbrowser.open(served.url):
                typer.echo("note: no browser was found; open the address in one", err=True)
            over.wait()
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        signal.signal(signal.SIGTERM, before)
    typer.echo("the dashboard has ended")
    return 0


class RunNote:
    """What the page says of the run as a whole: what `bmtune best` prints, as Markdown."""

    def __init__(self, folder: Path, space: SearchSpace) -> None:
        self._folder = folder
        self._space = space
        self._progress = RunProgress()

    def on_record(self, record: Record) -> None:
        """Adds one record to the tally."""
        self._progress.on_record(record)

    def text(self) -> str:
        """The best configuration as a file that `bmtune train` takes, or why there is none.

        Raises:
            FormatError: `best.yaml` has a format or a version that this release does not read.
            ConfigError: `best.yaml` was edited and breaks a rule.
        """
        progress = self._progress
        how = _state(progress)
        if not progress.ranked():
            near = progress.nearest()
            none = "No trial has finished an epoch of its main phase yet."
            if near is not None:
                none = f"Of all trials {broken(progress.aims.bounds, near.trial, near.best_metrics)}."
            return f"**{none}**\n\n{how}\n"
        best, _ = best_of(progress, self._space, self._folder)
        which = f"the first of the {len(best.pareto)} in the Pareto set" if best.pareto else "the best so far"
        first = (
            f"Trial {best.best.trial} is {which}: {metrics(best.best.metrics, best.objective[0].metric)} at "
            f"epoch {best.best.epoch}."
            if best.confirmation is None
            else f"{best.confirmation.verdict}."
        )
        content = dump(best.model_dump(mode="json"))
        return f"**{first}** `bmtune train` takes this as a file:\n\n```yaml\n{content}```\n\n{how}\n"


def _state(progress: RunProgress) -> str:
    states: tuple[TrialState, ...] = ("completed", "pruned", "failed", "paused", "running")
    counted = [f"{progress.count(state)} {state}" for state in states if progress.count(state)]
    total = 0 if progress.started is None else progress.started.trials
    ended = "The search has ended" if progress.finished is not None else "The search has not ended"
    sentence = f"{ended}: {', '.join([f'{len(progress.trials)} of {total} trials', *counted])}."
    if progress.count("pruned") or progress.count("paused"):
        sentence += (
            " Halving chose which trials went on, so importances computed here from completed trials alone may "
            "mislead; `bmtune report` compares all trials at one epoch."
        )
    return sentence
