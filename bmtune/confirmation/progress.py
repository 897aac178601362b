"""How far a confirmation is, for whoever shows it."""

from dataclasses import dataclass
from typing import Protocol

from bmtune.confirmation.records import TrainingEnded


@dataclass(frozen=True)
class ConfirmationProgress:
    """How far the trainings are.

    Attributes:
        metric: The objective.
        done: Trainings that have ended.
        total: All of them.
        epochs: Main-phase epochs so far, those of earlier attempts too.
        budget: Most main-phase epochs of all trainings.
        latest: The training that has just ended; None where this only tells of epochs.
    """

    metric: str
    done: int
    total: int
    epochs: int
    budget: int
    latest: TrainingEnded | None = None


class Follower(Protocol):
    """Whoever wants to hear how far a confirmation is."""

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Called when trainings have advanced, and once for each that ended."""


class Silent:
    """A follower that shows nothing."""

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """See `Follower`."""
