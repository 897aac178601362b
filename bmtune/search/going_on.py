"""What a run needs before it goes on: its last event brought to its end, and checkpoints that its records bear out."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import get_args

from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.errors import BmtuneError
from bmtune.records import CheckpointWritten
from bmtune.records import Notice
from bmtune.search.conduct import Clock
from bmtune.search.conduct import end_trial
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import Which
from bmtune.search.trial_run import checkpoint_path
from bmtune.search.trials import RunningTrial

ASIDE = "last-unrecorded"
"""The name of a checkpoint of which the records do not hold every epoch."""


def lacks_decision(state: SearchState, trial: RunningTrial) -> bool:
    """Whether a trial stands at a rung and nothing says what halving decided there."""
    if state.space.run.scheduler == "none" or trial.budget not in state.arrivals:
        return False
    return all(arrival.trial != trial.number for arrival in state.arrivals[trial.budget])


def complete_last_event(ledger: Ledger, folder: Path, clock: Clock = time.time) -> None:
    """Records what was to follow the last record when the process that wrote it was lost.

    A report is several records: the last one may lack the decision at its rung, its checkpoints, or the end of a trial
    that halving stopped.

    Args:
        ledger: The search, as its records tell it.
        folder: The run folder.
        clock: Seconds since 1970.
    """
    state = ledger.state
    for number in list(state.running):
        trial = state.running[number]
        if lacks_decision(state, trial):
            ledger.record(state.rung_reached(number))
        for which in get_args(Which):
            path = checkpoint_path(number, which)
            if which not in trial.checkpoints and has_checkpoint(folder / path):
                ledger.record(CheckpointWritten(trial=number, which=which, budget=trial.budget, path=path))
        stopped_at = state.running[number].stopped_at
        if stopped_at is not None and number not in state.paused:
            end_trial(ledger, number, "pruned", f"stopped at rung {stopped_at}", clock=clock)


def set_aside_unrecorded(ledger: Ledger, folder: Path, trial: RunningTrial) -> None:
    """Lets a trial begin again whose last checkpoint knows epochs that no record tells of.

    The disk may lose the last second of records with the machine, and a repair loses damaged ones. What the checkpoint
    does not tell itself would be lost for ever; trained again, the trial reports it.

    Args:
        ledger: The search.
        folder: The run folder.
        trial: The trial that is about to go on.
    """
    path = folder / checkpoint_path(trial.number, "last")
    facts = _facts(path)
    untold = TrialReport.model_validate_json(facts["untold"]) if facts.get("untold") else TrialReport()
    known = ledger.state.epochs_of(trial.number) | {(epoch.phase, epoch.epoch) for epoch in untold.epochs}
    trained = _epochs_in(facts)
    if trained <= known:
        return
    ledger.record(
        Notice(
            text=f"trial {trial.number} is trained again from its start, because {len(trained - known)} of the epochs "
            f"before its last checkpoint are not in the records"
        )
    )
    move_aside(path)


def trained_by(path: Path) -> set[tuple[str, int]]:
    """(phase, epoch) of all epochs that the trial of a `last` checkpoint has trained; empty where none can be read."""
    return _epochs_in(_facts(path))


def _epochs_in(facts: Mapping[str, Any]) -> set[tuple[str, int]]:
    return {(phase, epoch) for phase, latest in facts.get("epochs", {}).items() for epoch in range(1, latest + 1)}


def _facts(path: Path) -> Mapping[str, Any]:
    """What a checkpoint says besides its tensors; nothing where it cannot be read: who trains it meets that too."""
    if not has_checkpoint(path):
        return {}
    try:
        return read_checkpoint(path)[1]
    except BmtuneError:
        return {}


def move_aside(path: Path) -> None:
    """Takes a `last` checkpoint, and what may be left of the one before, out of the way."""
    place = path.with_name(ASIDE)
    shutil.rmtree(place, ignore_errors=True)
    for found in (path.with_name(f".{path.name}.previous"), path):
        if found.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            found.rename(place)
