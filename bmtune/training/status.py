"""The state of a trial as data: the value of a status is the message that a user reads."""

from enum import Enum


class Status(Enum):
    """Whether and why a trial has ended. Values are never removed, only added."""

    RUNNING = "running"
    FINISHED = "all epochs were trained"
    STOPPED_EARLY = "no improvement for `patience` epochs"
    GOAL_REACHED = "the goal was reached"
    DIVERGED = "a loss, a metric or a core is no longer finite; a smaller learning rate or start may help"

    @property
    def ended(self) -> bool:
        """Whether the trial trains no further epoch."""
        return self is not Status.RUNNING
