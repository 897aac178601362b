"""The winner of a search: its checkpoint, its test metrics and `best.yaml`."""

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import TrialCounts
from bmtune.config.best import write_best
from bmtune.config.names import within
from bmtune.config.root import TrialConfig
from bmtune.search.state import FinishedTrial
from bmtune.search.state import SearchState

BEST_FOLDER = "best"
BEST_FILE = "best.yaml"

OnTestRows = Callable[[TrialConfig, Mapping[str, Tensor]], dict[str, float]]
"""(configuration, trained cores) -> metrics on the test rows."""


def counts(state: SearchState) -> TrialCounts:
    """How the trials ended."""
    return TrialCounts(
        total=state.num_started,
        completed=state.count("completed"),
        pruned=state.count("pruned"),
        failed=state.count("failed"),
    )


def trial_config(state: SearchState, params: Mapping[str, object], seed: int) -> TrialConfig:
    """The whole configuration of a trial."""
    return state.space.configure(params).model_copy(update={"seed": seed})


def keep_winner(state: SearchState, folder: Path, on_test_rows: OnTestRows) -> BestFile | None:
    """Measures the best trial on the test rows, once, and writes `best/` and `best.yaml`.

    Args:
        state: The search, at its end.
        folder: The run folder.
        on_test_rows: Measures trained cores.

    Returns:
        What was written; None where no trial could be measured, and then nothing is.
    """
    best, header = state.best, state.header
    if best is None or "best" not in best.run.checkpoints:
        return None
    assert header is not None, "a search that has a winner has begun"
    config = trial_config(state, best.run.params, best.run.seed)
    tensors, facts = read_checkpoint(within(folder, best.run.checkpoints["best"]))
    test = {f"test/{name}": value for name, value in on_test_rows(config, tensors).items()}
    metrics = {**facts["metrics"], **test}
    write_checkpoint(folder / BEST_FOLDER, tensors, {**facts, "metrics": metrics})
    content = BestFile(
        run=header.run,
        trainer=header.trainer,
        dataset=header.dataset,
        objective=(ObjectiveEntry(metric=state.objective.metric, mode=state.objective.mode),),
        best=_entry(best, config, facts["epoch"], metrics),
        trials=counts(state),
    )
    write_best(folder / BEST_FILE, content)
    return content


def _entry(best: FinishedTrial, config: TrialConfig, epoch: int, metrics: dict[str, float]) -> BestEntry:
    assert best.end.value is not None, "the best trial has a value"
    return BestEntry(
        trial=best.run.number,
        value=best.end.value,
        epoch=epoch,
        metrics=metrics,
        config=config,
        checkpoint=BEST_FOLDER,
    )
