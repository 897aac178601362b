"""What `bmtune search --json` writes: one JSON object a line, for programs.

Later releases may add kinds of events and fields with a default; whatever else changes raises `VERSION`.
"""

from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import JsonValue

VERSION = 1


class _Event(BaseModel):
    # A number that is not finite becomes null, which every reader of JSON knows.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    format: Literal["bmtune.events"] = "bmtune.events"
    version: Literal[1] = 1
    time: float
    """Seconds since 1970."""
    elapsed_s: float
    """Seconds since the command began."""


class Aim(BaseModel):
    """An objective of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    mode: Literal["max", "min"]


class Starting(_Event):
    """Ray and its workers start; always the first line."""

    event: Literal["starting"] = "starting"


class Started(_Event):
    """The search begins, or goes on."""

    event: Literal["started"] = "started"
    resumed: bool
    """Whether it goes on with what was there."""
    run: str
    trainer: str
    dataset: str
    objectives: tuple[Aim, ...]
    constraints: tuple[str, ...] = ()
    """As in a search space: `fid <= 0.01`."""
    trials: int
    """Trials that the search may start."""
    max_epochs: int
    """Epochs of the main phase in a trial's whole budget."""
    seed: int


class Told(_Event):
    """A sentence that the user should know."""

    event: Literal["notice"] = "notice"
    text: str


class TrialBegan(_Event):
    """A trial begins."""

    event: Literal["trial_started"] = "trial_started"
    trial: int
    params: dict[str, JsonValue]
    """Searched values by dotted path."""
    seed: int


class TrialPaused(_Event):
    """A trial waits at a rung for a promotion."""

    event: Literal["trial_paused"] = "trial_paused"
    trial: int
    rung: int
    value: float | None
    """The objective there; null: it had none."""


class TrialWentOn(_Event):
    """A trial that had waited goes on."""

    event: Literal["trial_promoted"] = "trial_promoted"
    trial: int
    rung: int


class TrialEnded(_Event):
    """A trial has ended."""

    event: Literal["trial_ended"] = "trial_ended"
    trial: int
    status: Literal["completed", "pruned", "failed"]
    reason: str
    epochs: int
    """Epochs of its main phase."""
    value: float | None
    """The objective at its best epoch; null: it has none."""
    best_epoch: int | None


class BestFound(_Event):
    """Another value is the best so far; at most every 5 seconds, and once more before the end."""

    event: Literal["best"] = "best"
    trial: int
    value: float
    epoch: int
    metrics: dict[str, float | None]
    """All validation values of that epoch."""
    params: dict[str, JsonValue]
    pareto: tuple[int, ...] = ()
    """With several objectives: the trials that no other one beats, of which this is the first."""


class Progress(_Event):
    """How far the search is; at most every 5 seconds."""

    event: Literal["progress"] = "progress"
    trials: int
    """Trials that have started."""
    running: int
    paused: int
    completed: int
    pruned: int
    failed: int
    epochs: int
    """Epochs of all trials and phases."""
    epochs_per_s: float
    """Since the command began."""
    lanes: tuple[tuple[int, int], ...]
    """Of each process that trains: its trials, and the most that it takes; empty where each trial has its own."""


class Confirming(_Event):
    """A training of the confirmation has ended."""

    event: Literal["confirming"] = "confirming"
    done: int
    total: int
    trial: int
    """The trial whose configuration was trained."""
    seed: int
    value: float | None
    """The objective at its best epoch; null: it failed."""


class Ended(_Event):
    """All trials have ended."""

    event: Literal["ended"] = "ended"
    reason: str
    best: int | None
    """Number of the winning trial."""
    test_metrics: dict[str, float | None]
    """Its values on the test rows."""


class Result(_Event):
    """What the command leaves behind; always the last line, unless an error or a signal ended the command before."""

    event: Literal["result"] = "result"
    run_folder: str
    best_file: str | None
    """Where the best configuration is; null: no trial was measured."""
    trial: int | None
    value: float | None
    """Its objective on validation rows."""
    verdict: str | None
    """What the confirmation says of it; null: it was not confirmed."""
    interrupted: bool
    exit_code: int


class Resolved(_Event):
    """With `--dry-run`, and then the only line: the search as it would run."""

    event: Literal["resolved"] = "resolved"
    run_folder: str
    resumes: bool
    search: dict[str, JsonValue]
    """As in `search.yaml`."""


Event = (
    Starting
    | Started
    | Told
    | TrialBegan
    | TrialPaused
    | TrialWentOn
    | TrialEnded
    | BestFound
    | Progress
    | Confirming
    | Ended
    | Result
    | Resolved
)
