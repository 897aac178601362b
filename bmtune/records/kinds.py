"""The kinds of records, and what follows from them alone."""

import math
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated
from typing import Literal
from typing import Protocol

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import JsonValue

FORMAT = "bmtune.records"
VERSION = 4
READABLE = (1, 2, 3, 4)
"""Versions that this release reads: the first knew no notices, no shared pre-training and no trial that pauses, the
second no run that was resumed and none that learns from another one, the third neither configurations that
are tried first nor several objectives or constraints."""

Metrics = dict[str, float]
"""Measured values by metric name."""


def inner_path(path: str) -> str:
    """`path` itself, where it leads to a place below the folder that it is joined to; links aside.

    Raises:
        ValueError: It is absolute, climbs out, or is no path.
    """
    if PurePath(path).is_absolute() or ".." in PurePath(path).parts or "\0" in path:
        raise ValueError(f"a path must lead to a place within its folder, but got {path!r}")
    return path


class _Line(BaseModel):
    # Non-finite numbers travel as strings: JSON has no word for them, and a diverged trial must survive a round trip.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Objective(_Line):
    """What a search makes as good as it can."""

    metric: str
    mode: Literal["max", "min"]

    def better(self, candidate: float, incumbent: float) -> bool:
        """Whether `candidate` is strictly better than `incumbent`; NaN never is."""
        return candidate > incumbent if self.mode == "max" else candidate < incumbent


class Bound(_Line):
    """A constraint: what a metric must not be above, or below."""

    metric: str
    relation: Literal["<=", ">="]
    limit: float

    def excess(self, value: float) -> float:
        """How far a value breaks it, as a fraction of the limit where that is not 0; 0 where it holds."""
        beyond = value - self.limit if self.relation == "<=" else self.limit - value
        return max(0.0, beyond) / (abs(self.limit) or 1.0)


class RunStarted(_Line):
    """The first line of a records file."""

    kind: Literal["run_started"] = "run_started"
    format: Literal["bmtune.records"] = "bmtune.records"
    version: Literal[1, 2, 3, 4] = 4
    run: str
    trainer: str
    dataset: str
    data_hash: str
    """Hash of the data set's content, so that a run is never mixed with another data set's."""
    objective: Objective
    """The objective, or the first of several."""
    others: tuple[Objective, ...] = ()
    """Further objectives."""
    bounds: tuple[Bound, ...] = ()
    """Constraints."""
    trials: int
    """Trials that the search may start."""
    max_epochs: int
    """Epochs of the main phase in one trial's whole budget."""
    seed: int
    bmtune: str
    """Version of the package that wrote the file."""
    time: float
    """Seconds since 1970."""


class Change(_Line):
    """A setting that is another one from here on."""

    key: str
    """Its dotted path in `search.yaml`."""
    before: JsonValue
    after: JsonValue


class RunResumed(_Line):
    """The run goes on, after it was interrupted or had ended."""

    kind: Literal["run_resumed"] = "run_resumed"
    trials: int
    """Trials that the search may start from here on."""
    changes: tuple[Change, ...] = ()
    bmtune: str
    """Version of the package that goes on."""
    time: float


class TrialTaken(_Line):
    """A trial of another run, from which the proposals of this one learn; it is none of this run's trials."""

    kind: Literal["trial_taken"] = "trial_taken"
    from_run: str
    from_trial: int = Field(ge=0)
    params: dict[str, JsonValue]
    """Its values of what is searched here, by dotted path."""
    status: Literal["completed", "pruned"]
    value: float
    """The objective of this run at its best epoch."""
    values: dict[int, float]
    """The objective by epochs of the main phase."""
    metrics: Metrics | None = None
    """With several objectives or constraints: all that counts, at the best epoch."""


class TrialEnqueued(_Line):
    """A configuration that is tried before anything is proposed: after the base one, in the order of these records."""

    kind: Literal["trial_enqueued"] = "trial_enqueued"
    params: dict[str, JsonValue]
    """Its values of what is searched here, by dotted path."""
    source: str
    """The file, or the run and its trial, that it came from."""


class Notice(_Line):
    """Something that the user should know of the run, in a sentence; nothing follows from it."""

    kind: Literal["notice"] = "notice"
    text: str


class TrialStarted(_Line):
    """A configuration was proposed; its trial exists from here on."""

    kind: Literal["trial_started"] = "trial_started"
    trial: int = Field(ge=0)
    params: dict[str, JsonValue]
    """Searched values by dotted path."""
    seed: int
    time: float


class PretrainingShared(_Line):
    """A trial did not train its `pre` phase: it took the result of one that would have been equal."""

    kind: Literal["pretraining_shared"] = "pretraining_shared"
    trial: int = Field(ge=0)
    key: str
    """Hash of all that determines pre-training."""
    from_run: str
    """Name of the run that trained it: this one, or one with the same cache."""
    from_trial: int = Field(ge=0)
    """The trial of that run which trained it."""
    epochs: int = Field(ge=1)
    """Epochs that it took there; they are none of this trial's."""
    metrics: Metrics
    """What the main phase starts from, as "start/..."."""


class Epoch(_Line):
    """One epoch of one trial; (trial, phase, epoch) is unique."""

    kind: Literal["epoch"] = "epoch"
    trial: int = Field(ge=0)
    phase: str
    epoch: int = Field(ge=1)
    """Epochs of this phase, counted over the whole trial."""
    budget: int = Field(ge=0)
    """Epochs of the main phase done so far."""
    metrics: Metrics
    seconds: float
    """Wall-clock time of this epoch."""
    eligible: bool
    """Whether this epoch may be the trial's best."""
    best_epoch: int | None = None
    """The best epoch of the main phase so far; None: none yet."""
    best_metrics: Metrics | None = None


class Rung(_Line):
    """A trial reached a rung, and halving decided."""

    kind: Literal["rung"] = "rung"
    trial: int = Field(ge=0)
    rung: int = Field(ge=1)
    """Epochs of the main phase at which this rung lies."""
    value: float | None
    """The trial's value there, of the first objective; None: it had no epoch that may be best."""
    values: Metrics | None = None
    """With several objectives or constraints: all that counts, at the best epoch there."""
    decision: Literal["continue", "stop", "promote", "pause"]
    """Whether it goes on, ends, goes on as promoted, or waits for a promotion."""


class TrialPromoted(_Line):
    """A trial that had paused at a rung goes on."""

    kind: Literal["trial_promoted"] = "trial_promoted"
    trial: int = Field(ge=0)
    rung: int = Field(ge=1)
    """The rung that it leaves."""
    time: float


class CheckpointWritten(_Line):
    """A checkpoint lies in the run folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    trial: int = Field(ge=0)
    which: Literal["best", "last"]
    budget: int = Field(ge=0)
    path: Annotated[str, AfterValidator(inner_path)]
    """Relative to the run folder."""


Status = Literal["completed", "pruned", "failed"]


class TrialFinished(_Line):
    """A trial ended."""

    kind: Literal["trial_finished"] = "trial_finished"
    trial: int = Field(ge=0)
    status: Status
    reason: str
    """Why, in words for a table."""
    value: float | None = None
    """The objective at the best epoch; None where the trial has none."""
    best_epoch: int | None = None
    best_metrics: Metrics | None = None
    error: str | None = None
    """The traceback, where an exception ended the trial."""
    time: float


class RunFinished(_Line):
    """The search ended by itself (a run that was interrupted has no such line)."""

    kind: Literal["run_finished"] = "run_finished"
    reason: str
    best: int | None
    """Number of the winning trial."""
    test_metrics: Metrics | None = None
    """The winner's best epoch on the test rows."""
    time: float


def merit(*, passed: int, held: bool, whole: bool, promotes: bool) -> float:
    """What counts before its value when the best trial is chosen; the more the better.

    A trial that went on was not the worse one at any rung, so early luck of one that was held does not win over it.

    Args:
        passed: Rungs from which the trial went on.
        held: Whether it was stopped at a rung, or waits at one.
        whole: Whether it went through to its end.
        promotes: Whether halving promotes in this run; else it stops.

    Returns:
        Where halving stops: whether the trial went on. Where it promotes, a trial that has met no rung has shown
        nothing yet, and one that waits may have shown more than others: those that went through to their ends come
        first, then those that passed more rungs.
    """
    if not promotes:
        return float(not held)
    return math.inf if whole and not held else float(passed)


TrialRecord = TrialStarted | PretrainingShared | Epoch | Rung | TrialPromoted | CheckpointWritten | TrialFinished
Record = RunStarted | RunResumed | TrialTaken | TrialEnqueued | Notice | TrialRecord | RunFinished


class Listener(Protocol):
    """Whoever wants to hear of every record as it is written."""

    def on_record(self, record: Record) -> None:
        """Called once for each record, in order, after it was handed to the file."""


class RunListener(Listener, Protocol):
    """A listener that may join a run which goes on."""

    def catch_up(self, records: Sequence[Record]) -> None:
        """Takes in what was recorded before, in order and before any other record: it counts, and is no news."""


class LaneWatcher(Protocol):
    """Whoever wants to know how full the processes are that train."""

    def on_lanes(self, lanes: Callable[[], Sequence[tuple[int, int]]]) -> None:
        """Called when they start; `lanes` tells, at any time and on any thread, (trials, most trials) of each."""
