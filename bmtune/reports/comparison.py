"""Several runs side by side: what each found, and how soon."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

from bmtune.errors import ConfigError
from bmtune.reports.cost import Cost
from bmtune.reports.cost import cost_of
from bmtune.reports.history import RunHistory
from bmtune.reports.history import RunRead
from bmtune.reports.progress import TrialProgress
from bmtune.reports.wording import duration
from bmtune.reports.wording import number
from bmtune.reports.wording import plural

Axis = Literal["epochs", "seconds"]
_SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4)


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        label: Its name, or its folder where another run has the same name.
        read: The run.
        winner: Its best trial, or None.
        value: The objective of the winner.
        test: The same on test rows, where the search ended; else None.
        cost: What it cost.
        verdict: How it did beside the others, in words.
    """

    label: str
    read: RunRead
    winner: TrialProgress | None
    value: float | None
    test: float | None
    cost: Cost
    verdict: str

    @property
    def history(self) -> RunHistory:
        """What its records say."""
        return self.read.history


@dataclass(frozen=True)
class Comparison:
    """Runs that can be compared.

    Attributes:
        metric: The objective of all.
        mode: Whether larger or smaller values are better.
        runs: In the order in which they were given.
        warnings: What differs between them, a sentence each.
    """

    metric: str
    mode: Literal["max", "min"]
    runs: tuple[ComparedRun, ...]
    warnings: tuple[str, ...]


def compare(reads: Sequence[RunRead]) -> Comparison:
    """Compares runs of one objective on one data set.

    Raises:
        ConfigError: There is only one run, or one comes twice; or the objectives or the data differ.
    """
    folders = [read.folder.resolve() for read in reads]
    if len(set(folders)) < 2 or len(set(folders)) < len(folders):
        given = ", ".join(str(read.folder) for read in reads)
        raise ConfigError(
            f"a comparison must have two different runs or more, but got {given} "
            "(command line: RUN); name each run once"
        )
    first = reads[0].history.started
    for read in reads:
        _check_plain(read)
    for read in reads[1:]:
        _check_alike(reads[0], read)
    best = [_winner(read.history) for read in reads]
    values = [read.history.progress.value(trial) if trial else None for read, trial in zip(reads, best, strict=True)]
    names = [read.history.started.run for read in reads]
    runs = tuple(
        ComparedRun(
            label=name if names.count(name) == 1 else str(read.folder),
            read=read,
            winner=trial,
            value=value,
            test=_test(read.history),
            cost=cost_of(read.history),
            verdict=_verdict(read.history, value, values),
        )
        for read, trial, value, name in zip(reads, best, values, names, strict=True)
    )
    return Comparison(first.objective.metric, first.objective.mode, runs, tuple(_warnings(reads)))


def _check_plain(read: RunRead) -> None:
    """Raises ConfigError for a run that has no one number to be compared by."""
    if not read.history.progress.aims.is_plain:
        goal = read.space.goal
        raise ConfigError(
            f"runs to compare must have one objective and no constraint, but {read.folder} has "
            f"{', '.join((*goal.metric, *goal.constraints))} (command line: RUN); look at `bmtune best` of each"
        )


def _check_alike(one: RunRead, other: RunRead) -> None:
    """Raises ConfigError for runs whose values mean different things."""
    left, right = one.history.started, other.history.started
    if left.objective != right.objective:
        raise ConfigError(
            f"runs to compare must have one objective, but {one.folder} searched for {left.objective.metric} "
            f"({left.objective.mode}) and {other.folder} for {right.objective.metric} ({right.objective.mode}) "
            "(command line: RUN); compare runs of the same metric"
        )
    if left.data_hash != right.data_hash:
        raise ConfigError(
            f"runs to compare must have the same data, but the content of {left.dataset} in {one.folder} "
            f"({left.data_hash[:12]}) and of {right.dataset} in {other.folder} ({right.data_hash[:12]}) differ "
            "(command line: RUN); compare runs on the same data set"
        )


def _winner(history: RunHistory) -> TrialProgress | None:
    ranked = history.progress.ranked()
    return ranked[0] if ranked else None


def _test(history: RunHistory) -> float | None:
    finished = history.progress.finished
    return (finished.test_metrics or {}).get(history.started.objective.metric) if finished is not None else None


def _verdict(history: RunHistory, value: float | None, values: Sequence[float | None]) -> str:
    going = "" if history.progress.finished is not None else ", not ended"
    if value is None:
        return f"nothing measured{going}"
    known = [other for other in values if other is not None]
    best = min(known, key=lambda other: history.sign * other)
    if value == best:
        return ("best" if known.count(best) == 1 else "best, like others") + going
    if value > 0 and best > 0:
        return f"{abs(value - best) / best:.0%} {'lower' if history.sign < 0 else 'higher'}".replace("%", " %") + going
    return f"{number(abs(value - best))} {'lower' if history.sign < 0 else 'higher'}{going}"


def _warnings(reads: Sequence[RunRead]) -> list[str]:
    starts = [read.history.started for read in reads]
    found = []
    if len({start.trainer for start in starts}) > 1:
        trainers = ", ".join(dict.fromkeys(start.trainer for start in starts))
        found.append(f"the trainers differ ({trainers}): an epoch is not the same amount of work, so look at the times")
    splits = [read.space.base.data.model_dump(exclude={"root", "dataset"}) for read in reads]
    if any(split != splits[0] for split in splits):
        keys = sorted({key for split in splits for key in split if split[key] != splits[0][key]})
        found.append(f"the settings of the data differ ({', '.join(keys)}): validation rows may not be the same ones")
    evaluations = [read.space.base.evaluation for read in reads]
    if any(evaluation != evaluations[0] for evaluation in evaluations):
        found.append("the settings of the evaluation differ: the metric may not mean the same")
    if len({start.max_epochs for start in starts}) > 1:
        found.append("the whole budgets of a trial differ: a trial of the longer one may be better for that alone")
    if len({start.bmtune for start in starts}) > 1:
        found.append("the versions of bmtune differ")
    unfinished = sum(read.history.progress.finished is None for read in reads)
    if unfinished:
        found.append(f"{plural(unfinished, 'run')} of {len(reads)} {'has' if unfinished == 1 else 'have'} not ended")
    return found


class BestSoFar(NamedTuple):
    """The best value of any trial of a run up to some place."""

    value: float | None
    """None: there was none yet."""
    ended: bool
    """Whether the run had ended, or has records no further."""


def best_at(history: RunHistory, axis: Axis, marks: Sequence[float]) -> list[BestSoFar]:
    """The best value of any trial after so many epochs, or seconds."""
    end = history.progress.num_epochs if axis == "epochs" else history.seconds
    places = [getattr(found, axis) for found in history.incumbents]
    positions = [bisect_right(places, mark) for mark in marks]
    return [
        BestSoFar(history.incumbents[position - 1].value if position else None, mark > end)
        for position, mark in zip(positions, marks, strict=True)
    ]


def marks_of(comparison: Comparison, axis: Axis) -> list[float]:
    """Places on an axis at which runs are compared: parts of the longest run, round ones except for the last.

    Args:
        comparison: The runs.
        axis: Epochs, or seconds of the search.
    """
    last = max(run.history.progress.num_epochs if axis == "epochs" else run.history.seconds for run in comparison.runs)
    marks = [float(f"{last * share:.2g}") for share in _SHARES]
    if axis == "epochs":
        marks = [float(max(1, round(mark))) for mark in marks]
    return sorted({*(mark for mark in marks if mark < last), float(last)})


def mark_text(mark: float, axis: Axis) -> str:
    """A place in words: `1300`, `2.5 s`, `4 min 10 s`."""
    if axis == "epochs":
        return f"{mark:.0f}"
    return f"{mark:.2g} s" if mark < 10 else duration(mark)
