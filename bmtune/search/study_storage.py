"""The memory of an Optuna study whose trials may pause at a rung and go on later."""

import copy
from collections.abc import Container
from datetime import datetime

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
