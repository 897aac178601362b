"""A run folder as data: the best trials and how all trials did, while a run goes on, after it ended or was killed.

The records decide, with `search.yaml`. Where the run wrote `best.yaml` and its winner is still the best, the
winner comes from there, with its test metrics.
"""

from dataclasses import dataclass
from pathlib import Path

from bmtune.config.best import MOST_PARETO
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import ParetoEntry
from bmtune.config.best import TrialCounts
from bmtune.config.best import read_best
from bmtune.config.constraints import broken
from bmtune.config.constraints import write_constraint
from bmtune.config.paths import with_values
from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import read_records
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialProgress

RECORDS_FILE = "records.jsonl"
SEARCH_FILE = "search.yaml"
BEST_FILE = "best.yaml"


@dataclass(frozen=True)
class Summary:
    """What a run found so far.

    Attributes:
        best: What `best.yaml` says, or would say if it were written now; after a confirmation its winner.
        top: The best trials of the search, the best first.
        finished: Whether the search ended by itself.
        notice: One sentence about a damaged end of the records that was left out, or None.
    """

    best: BestFile
    top: tuple[BestEntry, ...]
    finished: bool
    notice: str | None


def summarize(run: Path, num_top: int = 1, trial: int | None = None) -> Summary:
    """The summary of a run folder.

    Args:
        run: The folder.
        num_top: Most trials in `top`.
        trial: The number of the one that stands for the best; None: the best does.

    Raises:
        RunFolderError: The folder holds no run, or no trial of it has been measured yet.
        FormatError: A file has a format or a version that this release does not read.
        ConfigError: `search.yaml` or `best.yaml` was edited and breaks a rule.
    """
    if not (run / RECORDS_FILE).is_file():
        raise RunFolderError(
            f"a run must be a folder with {RECORDS_FILE}, but {run} is not; give the folder that a search wrote"
        )
    read = read_records(run / RECORDS_FILE)
    try:
        progress = RunProgress(read.records)
    except ValueError as error:
        raise FormatError(
            f"records must follow from those before them, but in {run / RECORDS_FILE} they do not ({error}); restore "
            "the file from a copy"
        ) from error
    if not progress.ranked():
        near = progress.nearest()
        if near is not None:
            raise RunFolderError(
                f"a run must have a trial that satisfies its constraints, but in {run} "
                f"{broken(progress.aims.bounds, near.trial, near.best_metrics)}; wait, or search on with more trials"
            )
        raise RunFolderError(
            f"a run must have a trial with a finished epoch of its main phase, but {run} has "
            f"{len(progress.trials)} trials and none of them has; wait, or search again"
        )
    space = load_space(run / SEARCH_FILE)
    best, top = best_of(progress, space, run, num_top)
    if trial is not None and trial != best.best.trial:
        best = best.model_copy(update={"best": _named(progress, trial, space, best), "confirmation": None})
    return Summary(best, top, progress.finished is not None, read.notice)


def best_of(
    progress: RunProgress, space: SearchSpace, run: Path, num_top: int = 1
) -> tuple[BestFile, tuple[BestEntry, ...]]:
    """What `best.yaml` says, or would say if it were written now, and the best trials.

    Args:
        progress: The tally of a run of which at least one trial was measured.
        space: Its search space.
        run: Its folder.
        num_top: Most trials.

    Raises:
        FormatError: `best.yaml` has a format or a version that this release does not read.
        ConfigError: `best.yaml` was edited and breaks a rule.
    """
    top = tuple(_entry(progress, trial, space) for trial in progress.ranked()[:num_top])
    pareto = tuple(_pareto_entry(trial) for trial in progress.pareto()[:MOST_PARETO])
    if not (run / BEST_FILE).is_file():
        return _file(progress, top[0], pareto), top
    file = read_best(run / BEST_FILE)
    if file.confirmation is not None:
        # A confirmation decides for itself: its winner need not be the one that the search found best, and was trained
        # with another seed than the trial.
        return file, top
    kept = file.best
    top = tuple(kept if (entry.trial, entry.epoch) == (kept.trial, kept.epoch) else entry for entry in top)
    # Those of the file have been measured on test rows.
    known = {(entry.trial, entry.epoch): entry for entry in file.pareto}
    pareto = tuple(known.get((entry.trial, entry.epoch), entry) for entry in pareto)
    return _file(progress, top[0], pareto), top


def _named(progress: RunProgress, number: int, space: SearchSpace, best: BestFile) -> BestEntry:
    """The trial with this number.

    Raises:
        RunFolderError: There is none, or it has not been measured.
    """
    trial = progress.trials.get(number)
    if trial is None or progress.value(trial) is None:
        what = "has no such trial" if trial is None else "has not measured it"
        raise RunFolderError(
            f"--trial takes a trial that was measured, but the run {what}: {number} (command line: --trial); `bmtune "
            "export RUN` lists all"
        )
    entry = _entry(progress, trial, space)
    metrics = next((found.metrics for found in best.pareto if found.trial == number), entry.metrics)
    return entry.model_copy(update={"metrics": metrics})


def _entry(progress: RunProgress, trial: TrialProgress, space: SearchSpace) -> BestEntry:
    value = progress.value(trial)
    assert value is not None
    assert trial.best_epoch is not None
    return BestEntry(
        trial=trial.trial,
        value=value,
        epoch=trial.best_epoch,
        metrics=trial.best_metrics or {},
        config=with_values(space.configure(trial.params), {"seed": trial.seed}, space.source),
        checkpoint=_checkpoint(trial),
    )


def _checkpoint(trial: TrialProgress) -> str:
    """Where the best cores of a trial lie.

    A search that is killed between an epoch and the line about its checkpoint still wrote the checkpoint.
    """
    return trial.checkpoint or f"checkpoints/trial-{trial.trial:05d}/best"


def _pareto_entry(trial: TrialProgress) -> ParetoEntry:
    assert trial.best_epoch is not None
    return ParetoEntry(
        trial=trial.trial,
        epoch=trial.best_epoch,
        metrics=trial.best_metrics or {},
        params=trial.params,
        checkpoint=_checkpoint(trial),
    )


def _file(progress: RunProgress, best: BestEntry, pareto: tuple[ParetoEntry, ...]) -> BestFile:
    started = progress.started
    assert started is not None
    return BestFile(
        run=started.run,
        trainer=started.trainer,
        dataset=started.dataset,
        objective=tuple(ObjectiveEntry(metric=one.metric, mode=one.mode) for one in progress.aims.objectives),
        constraints=tuple(map(write_constraint, progress.aims.bounds)),
        best=best,
        pareto=pareto,
        trials=TrialCounts(
            total=len(progress.trials),
            completed=progress.count("completed"),
            pruned=progress.count("pruned"),
            failed=progress.count("failed"),
        ),
    )
