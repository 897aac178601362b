"""The state of a trial and the report of an epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from bmtune.born import Cores
from bmtune.training.player import Players
from bmtune.training.recipes.base import cores_of
from bmtune.training.status import Status
from bmtune.training.watch import Best


@dataclass(frozen=True)
class TrialState:
    """Everything that training a trial further depends on, besides its problem.

    Attributes:
        phase: The current phase.
        players: What the phase trains.
        visit_epoch: Epochs of this visit to the phase (retraining is visited many times).
        best: The best epoch of this visit, if any.
        budget: Finished epochs of the main phase: what rungs and `max_epochs` count.
        epochs: Epochs of each phase in the whole trial.
        seconds: Time spent in each phase, training and validation.
        target: Goal of the main phase, which ends when it is reached.
        goal: What pre-training achieved, for retraining to reach again.
        main_players: The players of the main phase while retraining interrupts it.
        main_best: The best main epoch while retraining interrupts it.
        status: Whether and why the trial has ended.
    """

    phase: str
    players: Players
    visit_epoch: int = 0
    best: Best | None = None
    budget: int = 0
    epochs: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    target: Mapping[str, float] = field(default_factory=dict)
    goal: Mapping[str, float] = field(default_factory=dict)
    main_players: Players | None = None
    main_best: Best | None = None
    status: Status = Status.RUNNING

    @property
    def cores(self) -> Cores:
        """The cores as they are now."""
        return cores_of(self.players)


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave.

    Attributes:
        phase: The phase that the epoch belongs to.
        epoch: Its number in that phase, from 1, over the whole trial: (phase, epoch) is unique.
        budget: Epochs of the main phase that are finished, retraining included.
        metrics: Validation metrics by name; training losses as "train/..."; what the main phase starts from as
            "start/...".
        seconds: Time of the epoch: training, validation and, where it ends a phase, the start of the next.
        status: Whether and why the trial has ended.
        eligible: Whether the epoch may be the best: the classifier is within its tolerance.
        best_epoch: The best main epoch so far, None before the first.
        best_metrics: What was measured then.
        pictures: PNG files by name, where "viz" was due.
    """

    phase: str
    epoch: int
    budget: int
    metrics: dict[str, float]
    seconds: float
    status: Status
    eligible: bool
    best_epoch: int | None
    best_metrics: dict[str, float] | None
    pictures: dict[str, bytes] = field(default_factory=dict)
