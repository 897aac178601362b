"""The memory of an Optuna study whose trials may pause at a rung and go on later."""

import copy
import math
from collections.abc import Container
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState


class RungStorage(InMemoryStorage):
    """Shows a running trial that was measured at a rung as a pruned one.

    Optuna cannot open a trial again that was told as pruned, and a sampler learns nothing from one that runs: TPE
    proposes at random until enough trials have ended, and counts running ones as bad. So a trial stays open here, and
    who lists the trials of the study sees it pruned, with the values that it had at its last rung. Who asks for a
    trial by its number, as `Study.tell` does, gets the open one.
    """

    def __init__(self) -> None:
        """A memory without studies."""
        super().__init__()
        self._shown: dict[int, FrozenTrial] = {}

    def open_trial(
        self, study_id: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> int:
        """A running trial with these parameters, as `Study.ask` and its suggestions leave it; returns its id."""
        trial_id = self.create_new_trial(study_id)
        for name, distribution in distributions.items():
            self.set_trial_param(trial_id, name, distribution.to_internal_repr(params[name]), distribution)
        return trial_id

    def close_trial(self, trial_id: int, state: TrialState, value: float | None) -> None:
        """Ends a running trial, as `Study.tell` does, without a copy of all that it holds.

        Args:
            trial_id: The trial.
            state: How it ended.
            value: Of a complete trial; a pruned one has its last value as far as that is a number.
        """
        trial = self.get_trial(trial_id)
        if state is TrialState.PRUNED and trial.last_step is not None:
            last = trial.intermediate_values[trial.last_step]
            value = None if math.isnan(last) else last
        self.set_trial_state_values(trial_id, state, None if value is None else [value])

    def measure(self, trial_id: int) -> None:
        """From here on shows this running trial pruned, with the values that it has now."""
        shown = copy.copy(self.get_trial(trial_id))
        shown.state = TrialState.PRUNED
        shown.datetime_complete = datetime.now()
        if shown.last_step is not None:
            # What `Study.tell` makes the value of a pruned trial.
            shown.value = shown.intermediate_values[shown.last_step]
        self._shown[trial_id] = shown

    def forget(self, trial_id: int) -> None:
        """Shows this trial as it is, from here on."""
        self._shown.pop(trial_id, None)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials of a study as they are shown; see `InMemoryStorage.get_all_trials`."""
        trials = [self._shown.get(trial._trial_id, trial) for trial in super().get_all_trials(study_id, deepcopy=False)]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials
