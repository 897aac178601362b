"""What a search came to."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bmtune.config.best import BestFile
from bmtune.config.best import TrialCounts
from bmtune.search.request import SearchRequest


@dataclass(frozen=True)
class SearchOutcome:
    """The result of a search.

    Attributes:
        run_folder: Where everything lies.
        best: The content of `best.yaml`; None where no trial could be measured.
        counts: How the trials ended; one that was interrupted counts in the total only.
        interrupted: Whether the user interrupted the search.
        notice: Sentences about what went on beside the search, or None.
        signal: Number of the signal that interrupted it, or None.
        advice: How to go on with it, or None.
    """

    run_folder: Path
    best: BestFile | None
    counts: TrialCounts
    interrupted: bool
    notice: str | None = None
    signal: int | None = None
    advice: str | None = None


def how_to_resume(trainer: str, run_folder: Path, copy_at: str | None = None) -> str:
    """The command that goes on with a run that was broken off.

    Args:
        trainer: What it trains.
        run_folder: Where it lies.
        copy_at: Address below which a copy of it is kept, or None.
    """
    words = ["bmtune", "search", trainer, "--name", run_folder.name, "--resume"]
    if copy_at is not None:
        words += ["--storage", copy_at]
    elif run_folder.parent != SearchRequest.storage:
        words += ["--storage", str(run_folder.parent)]
    return f"go on with: {shlex.join(words)}"


Afterwards = Callable[[SearchOutcome], SearchOutcome]
"""What is done with the outcome of a search."""


def unchanged(outcome: SearchOutcome) -> SearchOutcome:
    """Nothing is done."""
    return outcome
