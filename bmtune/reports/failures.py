"""Failed trials by cause."""

import re
from dataclasses import dataclass

from bmtune.reports.history import RunHistory


@dataclass(frozen=True)
class Failure:
    """Trials that failed alike.

    Attributes:
        reason: What the first of them said.
        trials: Their numbers.
        error: The traceback of the first that has one, or None.
    """

    reason: str
    trials: tuple[int, ...]
    error: str | None


def failures_of(history: RunHistory) -> list[Failure]:
    """The failed trials, the most frequent cause first; numbers within a reason do not make it another one."""
    alike: dict[str, list[int]] = {}
    for trial in history.progress.trials.values():
        if trial.state == "failed":
            alike.setdefault(re.sub(r"[\d.]+", "#", trial.reason), []).append(trial.trial)
    found = [_failure(history, numbers) for numbers in alike.values()]
    return sorted(found, key=lambda failure: (-len(failure.trials), failure.trials))


def _failure(history: RunHistory, numbers: list[int]) -> Failure:
    errors = (history.courses[number].error for number in numbers)
    reason = history.progress.trials[numbers[0]].reason
    return Failure(reason, tuple(numbers), next((error for error in errors if error), None))
