"""Thin adapters between Ray Tune and the conduct of a search; they decide nothing themselves."""

import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from bmtune.records import TrialStarted
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.conduct import failing_alike
from bmtune.search.conduct import take_report
from bmtune.search.ledger import Ledger
from bmtune.search.trainable import REPORT
from bmtune.search.trial_run import TrialReport

NUMBER = "trial"
"""Key of a Tune configuration that holds the number of our trial."""


class RecordSearcher(Searcher):
    """Proposes the next trial out of the records' study. Results do not come back this way: see `HalvingScheduler`."""

    def __init__(self, ledger: Ledger, to_config: Callable[[TrialStarted], dict[str, Any]]) -> None:
        """A searcher that records each proposal before Tune hears of it."""
        super().__init__()
        self._ledger = ledger
        self._to_config = to_config

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The Tune configuration of the next trial."""
        started = begin_trial(self._ledger)
        # Tune declares a dictionary and accepts this word.
        return Searcher.FINISHED if started is None else self._to_config(started)  # type: ignore[return-value]

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002 - Tune's signature
        """Nothing: the end of a trial was recorded with the report that brought it."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the records are the state, and nothing is pickled."""

    def restore_from_dir(self, checkpoint_dir: str) -> None:
        """Nothing: see `save_to_dir`."""


class HalvingScheduler(FIFOScheduler):
    """Records every report and stops the trials that have ended or that halving stops."""

    _supports_buffered_results = False

    def __init__(self, ledger: Ledger) -> None:
        """A scheduler whose rungs are those of the ledger's state."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Tune's word for what `take_report` decides."""
        report = TrialReport.model_validate_json(result[REPORT])
        decision = take_report(self._ledger, trial.config[NUMBER], report)
        return str(TrialScheduler.STOP if decision == "stop" else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Ends a trial whose process was lost too often: no report of its own can say so.

        (Callbacks of Tune hear of it too. But where there is one, Tune imports all experiment trackers it knows before
        the first trial, which takes seconds.)
        """
        number = trial.config[NUMBER]
        given_up = not trial.should_recover()  # type: ignore[no-untyped-call]
        if given_up and number in self._ledger.state.running:
            error = _last_error(trial)
            text = error.split("\n")[0] or "no reason is known"
            end_trial(self._ledger, number, "failed", f"its process was lost: {text}", error=error)


def _last_error(trial: Trial) -> str:
    """What Tune wrote down of a trial's last failure; `Trial.get_error` looks where nothing was copied to yet."""
    if trial.error_file is None:
        return ""
    return Path(trial.error_file).read_text().rpartition("Failure # ")[2].partition("\n")[2].strip()


class SearchStopper(Stopper):
    """Ends the search when its time is over, when it was interrupted, or when its first trials all fail alike."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """A stopper whose time begins now."""
        self._ledger = ledger
        self._clock = clock
        self._began = clock()
        self.interrupted = False
        self.reason: str | None = None
        self.failure: str | None = None

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
        self.failure = failing_alike(list(state.finished.values()))
        if self.interrupted:
            self.reason = "interrupted"
        elif self.failure is not None:
            self.reason = f"the first trials all failed alike: {self.failure}"
        elif budget is not None and self._clock() - self._began >= budget:
            self.reason = f"the time budget of {budget:g} s is over"
        return self.reason is not None
