"""What a trial leaves behind: its best cores, their test metrics, and how long epochs took."""

from dataclasses import dataclass

from bmtune.born import Cores
from bmtune.config.metrics import without_picture
from bmtune.config.root import TrialConfig
from bmtune.evaluation import measure
from bmtune.training.problem import Problem
from bmtune.training.seeds import derive
from bmtune.training.settle import main_best
from bmtune.training.state import TrialState


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Attributes:
        epoch: The best main epoch, whose cores are kept.
        cores: Its cores.
        valid: Its validation metrics.
        test: The main metrics of those cores on the test rows.
        timings: Average epoch times in seconds, under the trainer guide's names.
    """

    epoch: int
    cores: Cores
    valid: dict[str, float]
    test: dict[str, float]
    timings: dict[str, float]


def outcome(problem: Problem, state: TrialState) -> Outcome | None:
    """The result of a trial as far as it has come; None before its first eligible epoch."""
    best = main_best(problem, state)
    if best is None:
        return None
    return Outcome(
        best.epoch, best.cores, best.metrics, test_metrics(problem, best.cores), timings(problem.config, state)
    )


def test_metrics(problem: Problem, cores: Cores) -> dict[str, float]:
    """The main metrics on the test rows."""
    names = without_picture(dict(problem.config.main_metrics))
    seed = derive(problem.config.seed, "test")
    return measure(names, problem.chain, cores, problem.splits["test"], problem.config.evaluation, seed=seed)


def timings(config: TrialConfig, state: TrialState) -> dict[str, float]:
    """Average epoch times in seconds; an epoch is training and validation."""
    found = {}
    for phase in ("pre", "critic", "gen", "adv"):
        if state.epochs.get(phase):
            found[f"{phase}/avg_epoch_time_s"] = state.seconds[phase] / state.epochs[phase]
    if state.epochs.get("gan"):
        alone, epochs = state.seconds["gan"], state.epochs["gan"]
        found["gan/avg_epoch_time_total_s"] = (alone + state.seconds.get("re", 0.0)) / epochs
        found["gan/avg_epoch_time_no_retrain_s"] = alone / epochs
    return found
