"""What a search does when a trial begins, reports and ends: decisions over the state, written as records."""

import re
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal

from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Status
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.search.ahead import AT_ONCE
from bmtune.search.ahead import Asks
from bmtune.search.ledger import Ledger
from bmtune.search.proposals import derived_seed
from bmtune.search.trial_run import TrialReport
from bmtune.search.trials import FinishedTrial

ALIKE_LIMIT = 3
"""A search whose first so many trials all fail alike has no reason to go on."""

Clock = Callable[[], float]
Command = Literal["continue", "pause", "stop"]


def begin_trial(ledger: Ledger, clock: Clock = time.time, asks: Asks = AT_ONCE) -> TrialStarted | None:
    """Starts the next trial; None when all were started."""
    state = ledger.state
    space = state.space
    if state.all_started:
        return None
    number = state.num_started
    params = asks.params(state, number)
    started = TrialStarted(trial=number, params=params, seed=derived_seed(space.run.seed, number), time=clock())
    ledger.record(started)
    asks.started(number)
    return started


def promote_trial(ledger: Ledger, clock: Clock = time.time) -> int | None:
    """Lets the paused trial go on whose turn it is, and returns its number; None where there is none."""
    promotion = ledger.state.promotion
    if promotion is None:
        return None
    ledger.record(TrialPromoted(trial=promotion.trial, rung=promotion.rung, time=clock()))
    return promotion.trial


def take_report(ledger: Ledger, number: int, report: TrialReport, clock: Clock = time.time) -> Command:
    """Records a trial's report, lets halving decide at a rung, and says whether the trial goes on."""
    for text in report.notices:
        ledger.record(Notice(text=text))
    if report.shared is not None and not ledger.state.running[number].shared:
        ledger.record(report.shared)
    for epoch in report.epochs:
        # A trial that went on from a checkpoint repeats epochs that were recorded already.
        if not ledger.state.has_epoch(number, epoch.phase, epoch.epoch):
            _take_epoch(ledger, epoch)
    for checkpoint in report.checkpoints:
        ledger.record(checkpoint)
    if report.end is not None:
        end_trial(ledger, number, report.end.status, report.end.reason, error=report.end.error, clock=clock)
        return "stop"
    if number in ledger.state.paused:
        return "pause"
    stopped_at = ledger.state.running[number].stopped_at
    if stopped_at is not None:
        end_trial(ledger, number, "pruned", f"stopped at rung {stopped_at}", clock=clock)
        ledger.sync()
        return "stop"
    return "continue"


def _take_epoch(ledger: Ledger, epoch: Epoch) -> None:
    state = ledger.state
    before = state.running[epoch.trial].budget
    ledger.record(epoch)
    if state.space.run.scheduler == "none" or epoch.budget <= before or epoch.budget not in state.arrivals:
        return
    ledger.record(state.rung_reached(epoch.trial))


def end_trial(
    ledger: Ledger, number: int, status: Status, reason: str, *, error: str | None = None, clock: Clock = time.time
) -> None:
    """Records how a trial ended; its value is that of its best epoch, and a failed one has none."""
    trial = ledger.state.running[number]
    value = ledger.state.value_of(trial)
    if status == "completed" and value is None:
        status, reason = "failed", f"no epoch could be the best: {reason}"
    ledger.record(
        TrialFinished(
            trial=number,
            status=status,
            reason=reason,
            value=None if status == "failed" else value,
            best_epoch=trial.best_epoch,
            best_metrics=trial.best_metrics,
            error=error,
            time=clock(),
        )
    )


def end_remaining(ledger: Ledger, reason: str | None, clock: Clock = time.time) -> None:
    """Ends the trials that had not ended when the search did: what they reached counts.

    Args:
        ledger: The search.
        reason: Why the search ended before its trials; None: it did not.
        clock: Seconds since 1970.
    """
    eta = ledger.state.space.budget.eta
    for number in list(ledger.state.running):
        rung = ledger.state.paused.get(number)
        why = reason or (f"not among the best 1/{eta} there" if rung is not None else "the search ended")
        end_trial(ledger, number, "pruned", why if rung is None else f"paused at rung {rung}; {why}", clock=clock)


def failing_alike(finished: Sequence[FinishedTrial]) -> str | None:
    """Why the first trials to end all failed, where they all failed for the same reason; else None."""
    first = finished[:ALIKE_LIMIT]
    if len(first) < ALIKE_LIMIT or any(trial.end.status != "failed" for trial in first):
        return None
    # Numbers in a message differ between trials that fail alike: shapes, sizes, losses.
    reasons = {re.sub(r"[\d.]+", "#", trial.end.reason) for trial in first}
    return first[0].end.reason if len(reasons) == 1 else None
