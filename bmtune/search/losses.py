"""How often the trials of a search lost their processes, and whether one may go on: counting, apart from Tune's."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A process was lost.

    Attributes:
        count: How often that was so, in words.
        is_new: Whether it is not the same loss as the one before, told once more.
        too_many: Whether the trial is given up.
    """

    count: str
    is_new: bool = True
    too_many: bool = False


class Losses:
    """Counts losses by trial.

    Tune counts them for each trial of its own, and a trial of ours may be several of those, one after the other. It
    also tells the loss of a process twice that it was about to give to another trial: of the process, and of the call
    that was to reset it.
    """

    def __init__(self, most: int) -> None:
        """No losses yet, of which a trial may have `most`."""
        self._most = most
        self._before: Counter[int] = Counter()
        self._told: Counter[int] = Counter()
        self._twice: set[int] = set()

    def left(self, trial: int) -> int:
        """How many losses Tune may still count for a trial that it takes for a new one."""
        return max(0, self._most - self._before[trial])

    def take(self, trial: int, counted: int, *, resetting: bool) -> Loss:
        """Takes in a loss.

        Args:
            trial: Number of the trial.
            counted: What Tune has counted for it.
            resetting: Whether Tune was about to begin the trial in a process that had trained another one.
        """
        losses = self._before[trial] + counted
        if resetting and trial in self._twice and losses == self._told[trial] + 1:
            self._twice.discard(trial)
            return Loss(self._words(self._told[trial]), is_new=False)
        if losses > self._most:
            return Loss(self._words(losses), too_many=True)
        # Tune does not count what was another trial's fault.
        words = self._words(losses) if losses > self._told[trial] else "not counted: another trial may be why"
        self._told[trial] = losses
        self._twice.add(trial)
        return Loss(words)

    def carry(self, trial: int) -> None:
        """Tune begins to count anew for this trial."""
        self._before[trial] = self._told[trial]

    def _words(self, losses: int) -> str:
        return f"{losses} of {self._most}"
