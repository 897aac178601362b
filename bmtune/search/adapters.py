"""Thin adapters between Ray Tune and the conduct of a search; they decide nothing themselves."""

import re
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from bmtune.packing import names_memory
from bmtune.records import Notice
from bmtune.redaction import redacted
from bmtune.search.ahead import AT_ONCE
from bmtune.search.ahead import Asks
from bmtune.search.conduct import ALIKE_LIMIT
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.conduct import failing_alike
from bmtune.search.conduct import promote_trial
from bmtune.search.conduct import take_report
from bmtune.search.interruption import Interruption
from bmtune.search.ledger import Ledger
from bmtune.search.losses import Losses
from bmtune.search.rounds import LEAVING
from bmtune.search.trainable import REPORT
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_start import epoch_to_go_on_from
from bmtune.search.trials import RunningTrial

_COLOR = re.compile(r"\x1b\[[0-9;]*m")

Concurrent = Callable[[], int]
"""How many trials may be trained at once, now: a cluster grows and shrinks."""

NUMBER = "trial"
"""Key of a Tune configuration that holds the number of our trial."""


class RecordSearcher(Searcher):
    """Proposes the next trial out of the records' study. Results do not come back this way: see `HalvingScheduler`.

    Tune knows nothing of the trials that a resumed run began before. So those that were running are handed out first,
    as the trials that they are, and one that had paused is handed out when it is promoted.
    """

    def __init__(
        self,
        ledger: Ledger,
        to_config: Callable[[RunningTrial], dict[str, Any]],
        concurrent: Concurrent,
        asks: Asks = AT_ONCE,
    ) -> None:
        """A searcher that records each proposal before Tune hears of it.

        Args:
            ledger: The search.
            to_config: Makes a trial's configuration for Tune.
            concurrent: Tells how many trials may be trained at once.
            asks: Where proposals come from.
        """
        super().__init__()
        self._ledger = ledger
        self._to_config = to_config
        self._concurrent = concurrent
        self._asks = asks
        state = ledger.state
        self._to_go_on = deque(number for number in state.running if number not in state.paused)
        self._known: set[int] = set()
        self._again: deque[dict[str, Any]] = deque()

    def hand_out_again(self, config: dict[str, Any]) -> None:
        """Proposes a trial once more, which Tune has given up and which is to go on."""
        self._again.append(config)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Whether this searcher counts by itself: it does, because Tune counts paused trials as running."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The Tune configuration of the next trial; None while there is no place for one."""
        if self._again:
            # It has its place already.
            return self._again.popleft()
        state = self._ledger.state
        if not self._to_go_on and state.is_over:
            # Tune declares a dictionary and accepts this word.
            return Searcher.FINISHED  # type: ignore[return-value]
        if state.num_active - len(self._to_go_on) >= self._concurrent():
            return None
        number = self._next()
        if number is None:
            return None
        self._known.add(number)
        return self._to_config(state.running[number])

    def _next(self) -> int | None:
        """The trial to hand out: one that goes on, one that is promoted, or a new one."""
        if self._to_go_on:
            return self._to_go_on.popleft()
        promotion = self._ledger.state.promotion
        if promotion is None:
            started = begin_trial(self._ledger, asks=self._asks)
            return None if started is None else started.trial
        # A trial that Tune knows is for the scheduler to wake; until then no other one takes its place.
        return None if promotion.trial in self._known else promote_trial(self._ledger)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002 - Tune's signature
        """Nothing: the end of a trial was recorded with the report that brought it."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the records are the state, and nothing is pickled."""

    def restore_from_dir(self, checkpoint_dir: str) -> None:
        """Nothing: see `save_to_dir`."""


class HalvingScheduler(FIFOScheduler):
    """Records every report, stops the trials that have ended, and pauses and resumes others as halving decides."""

    _supports_buffered_results = False

    def __init__(self, ledger: Ledger, concurrent: Concurrent, go_on: Callable[[dict[str, Any]], None]) -> None:
        """A scheduler whose rungs are those of the ledger's state.

        Args:
            ledger: The search.
            concurrent: Trials at once.
            go_on: Takes the configuration of a trial that Tune has given up and that is to go on.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger
        self._concurrent = concurrent
        self._go_on = go_on
        self._trials: dict[int, Trial] = {}
        self._losses = Losses(ledger.state.space.run.max_failures)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Remembers a trial by its number; what it has lost as another one of Tune's counts."""
        self._trials[trial.config[NUMBER]] = trial
        trial.max_failures = self._losses.left(trial.config[NUMBER])

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Tune's word for what `take_report` decides."""
        report = TrialReport.model_validate_json(result[REPORT])
        command = take_report(self._ledger, trial.config[NUMBER], report)
        if command == "pause":
            # Not by the word PAUSE: Tune would then ask the process to save, and count the trial as running until it
            # had answered. What is needed to go on is in the run folder already, and the place is free at once.
            tune_controller.pause_trial(trial, should_checkpoint=False)
            return str(TrialScheduler.NOOP)
        return str(TrialScheduler.STOP if command == "stop" else TrialScheduler.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The paused trial that goes on, where there is a place for one; its promotion is recorded.

        Tune starts new trials by itself, and calls this once a step and starts what it gets. (The inherited method
        would wake paused trials in the order of their start.)
        """
        state = self._ledger.state
        # One that Tune has not heard of since the run was resumed is for the searcher to hand out.
        if state.promotion is None or state.promotion.trial not in self._trials:
            return None
        if state.num_active >= self._concurrent():
            return None
        number = promote_trial(self._ledger)
        return None if number is None else self._trials[number]

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Says that a trial goes on whose process was lost, or ends it where that was so too often.

        No report of its own can say so. (Callbacks of Tune hear of it too. But where there is one, Tune imports all
        experiment trackers it knows before the first trial, which takes seconds.)
        """
        number = trial.config[NUMBER]
        if number not in self._ledger.state.running:
            return
        loss = self._losses.take(number, int(trial.num_failures), resetting=trial.status == Trial.PENDING)
        if loss.too_many:
            error = _last_error(trial)
            text = redacted(_said_by(error))
            reason = text if names_memory(text) else f"its process was lost: {text or 'no reason is known'}"
            end_trial(self._ledger, number, "failed", reason, error=redacted(error))
            return
        if loss.is_new:
            self._ledger.record(Notice(text=_retry(trial, loss.count)))
        # Tune lets a trial go on that it has marked as failed before, and gives up one that it was about to begin.
        if trial.status != Trial.ERROR:
            self._losses.carry(number)
            self._go_on(trial.config)


def _retry(trial: Trial, count: str) -> str:
    """That a trial goes on: from where, and how often that was so."""
    task = Task.model_validate_json(trial.config["task"])
    epoch = epoch_to_go_on_from(Path(task.run_folder, task.checkpoint_path("last")))
    where = "an older checkpoint" if epoch is None else f"epoch {epoch}"
    error = _last_error(trial)
    if LEAVING in error:
        return f"trial {task.trial} goes on from {where} elsewhere: {LEAVING}"
    what = "ran out of memory" if names_memory(_said_by(error)) else "lost its process"
    return f"trial {task.trial} {what} and goes on from {where} ({count})"


def _said_by(error: str) -> str:
    """The line that says what happened: the last one of a traceback, or the first one of another text."""
    lines = [line for line in _COLOR.sub("", error).splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1].strip() if lines[0].startswith("ray::") else lines[0].strip()


def _last_error(trial: Trial) -> str:
    """What Tune wrote down of a trial's last failure; `Trial.get_error` looks where nothing was copied to yet."""
    if trial.error_file is None:
        return ""
    return Path(trial.error_file).read_text().rpartition("Failure # ")[2].partition("\n")[2].strip()


class SearchStopper(Stopper):
    """Ends the search when nothing is left to train, its time is over, it was interrupted, or its trials fail alike."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """A stopper whose time begins now."""
        self._ledger = ledger
        self._clock = clock
        self._began = clock()
        self._interruption: Interruption | None = None
        self._told = False
        self.reason: str | None = None
        self.failure: str | None = None
        # How trials ended before a run was resumed was dealt with then.
        self._before = len(ledger.state.finished)

    @property
    def interrupted(self) -> bool:
        """Whether the user, or the machine, ends the search."""
        return self._interruption is not None and self._interruption.is_requested

    def listen_to(self, interruption: Interruption) -> None:
        """Ends the search after a signal from here on."""
        self._interruption = interruption

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Single trials are the scheduler's business."""
        return False

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """An empty object: Tune's snapshots pickle the stopper, and no state of ours belongs in a pickle."""
        return object, ()

    def stop_all(self) -> bool:
        """Whether to end the search now; `reason` says why."""
        state = self._ledger.state
        budget = state.space.run.time_budget_s
        self.failure = failing_alike(list(islice(state.finished.values(), self._before, self._before + ALIKE_LIMIT)))
        if self.interrupted:
            self.reason = "interrupted"
            if not self._told:
                self._told = True
                self._ledger.tell("interrupted: trials finish their epoch and write checkpoints; once more: at once")
        elif self.failure is not None:
            self.reason = f"the first trials all failed alike: {self.failure}"
        elif budget is not None and self._clock() - self._began >= budget:
            self.reason = f"the time budget of {budget:g} s is over"
        # Tune would wait for paused trials for ever.
        return self.reason is not None or state.is_over
