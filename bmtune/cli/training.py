"""One training from its configuration to its checkpoint."""

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from bmtune.born import get_embedding
from bmtune.checkpoints import write_checkpoint
from bmtune.config.names import check_name
from bmtune.config.paths import get
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.data import check_batch_size
from bmtune.errors import RunFolderError
from bmtune.reports.epochs import EpochBar
from bmtune.reports.epochs import EpochLines
from bmtune.reports.wording import number
from bmtune.training import Outcome
from bmtune.training import Problem
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import outcome
from bmtune.training import start


def train_and_save(config: TrialConfig, storage: Path) -> int:
    """Trains, shows the progress and writes the best epoch below `storage`; returns the exit code.

    Raises:
        RunFolderError: The folder of this training holds files already.
        DataError: The data is unfit to train on.
    """
    check_name(config.name, "name of the run")
    folder = storage / config.name / "models" / f"{config.recipe}-seed-{config.seed}"
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunFolderError(
            f"a training must have a folder of its own, but {folder} is in use; "
            "choose another with --storage, --seed or --set name=NAME, or remove it"
        )
    console = Console()
    data = DataHandler(config.data, get_embedding(config.born.embedding).data_interval)
    _check_batches(config, len(data.splits["train"].y))
    found = _train(make_problem(config, data), console)
    if found is None:
        typer.echo("error: no epoch of the main phase may be kept, so nothing was written", err=True)
        return 1
    metrics = found.valid | {f"test/{name}": value for name, value in found.test.items()}
    facts = {"config": config.model_dump(mode="json"), "epoch": found.epoch, "metrics": metrics}
    write_checkpoint(folder, found.cores._asdict(), {**facts, "timings": found.timings})
    console.print(_table(found))
    typer.echo(f"checkpoint: {folder}")
    return 0


def _check_batches(config: TrialConfig, num_rows: int) -> None:
    for path in config.batch_size_paths:
        check_batch_size(num_rows, get(config, path), place=path)


def _train(problem: Problem, console: Console) -> Outcome | None:
    """The whole budget of one trial, with a bar or with lines."""
    config = problem.config
    with (
        EpochBar(console, config.main_trainer.max_epoch) if console.is_terminal else EpochLines(typer.echo) as listener
    ):
        state = start(problem)
        while not state.status.ended:
            state, report = advance(problem, state)
            listener.on_epoch(report)
    typer.echo(f"ended: {state.status.value}")
    return outcome(problem, state)


def _table(found: Outcome) -> Table:
    table = Table("metric", "validation", "test", title=f"best epoch: {found.epoch}", title_justify="left")
    for name, value in found.test.items():
        table.add_row(name, number(found.valid[name]), number(value))
    return table
