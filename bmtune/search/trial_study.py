"""The Optuna study from which proposals are made: the trials of other runs that it learns from, then our own."""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from bmtune.config.space_model import Params
from bmtune.records import TrialTaken
from bmtune.search.proposals import to_label
from bmtune.search.study_storage import RungStorage

NAME = "bmtune"


class TrialStudy:
    """A study in memory in which our trials go by their own numbers.

    Attributes:
        study: The study itself.
        num_taken: Trials of other runs in it; they come before all of ours.
    """

    def __init__(self, direction: str) -> None:
        """A study without trials; `direction` is "max" or "min"."""
        self._storage = RungStorage()
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=NAME,
            direction="maximize" if direction == "max" else "minimize",
            # The study only remembers; proposals bring their own sampler.
            sampler=RandomSampler(),
        )
        self._study_id = self._storage.get_study_id_from_name(NAME)
        self.num_taken = 0
        self._ids: dict[int, int] = {}

    def take(self, record: TrialTaken, distributions: Mapping[str, BaseDistribution]) -> None:
        """Adds a trial of another run.

        Raises:
            ValueError: A trial of ours has started.
        """
        if self._ids:
            raise ValueError("a trial of another run must come before the first of this one")
        steps = {epoch: record.values[epoch] for epoch in sorted(record.values)}
        pruned = record.status == "pruned"
        # A pruned trial has the value that `Study.tell` would give it: its last one.
        value = next(reversed(steps.values()), record.value) if pruned else record.value
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                value=value,
                params=_labels(record.params),
                distributions=dict(distributions),
                intermediate_values=steps,
                user_attrs={"from": f"{record.from_run}/{record.from_trial}"},
            )
        )
        self.num_taken += 1

    def start(self, number: int, params: Params, distributions: Mapping[str, BaseDistribution]) -> None:
        """Our next trial runs from here on.

        A proposal that TPE made just now has opened its trial already; a replayed one has not.
        """
        place = self.num_taken + number
        try:
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, place)
        except KeyError:
            trial_id = self._storage.open_trial(self._study_id, _labels(params), dict(distributions))
        self._ids[number] = trial_id

    def open(self, params: Params, distributions: Mapping[str, BaseDistribution]) -> None:
        """The next trial is open, as after a proposal, and has still to start."""
        self._storage.open_trial(self._study_id, _labels(params), dict(distributions))

    def report(self, number: int, step: int, value: float) -> None:
        """A value of a running trial."""
        self._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def measure(self, number: int) -> None:
        """A running trial was measured at a rung: see `RungStorage`."""
        self._storage.measure(self._ids[number])

    def end(self, number: int, state: TrialState, value: float | None = None) -> None:
        """A running trial has ended; `value` is for a complete one."""
        trial_id = self._ids[number]
        self._storage.forget(trial_id)
        self._storage.close_trial(trial_id, state, value)

    def trial(self, number: int) -> FrozenTrial:
        """A trial of ours as it is."""
        return self._storage.get_trial(self._ids[number])


def _labels(params: Params) -> dict[str, object]:
    return {path: to_label(value) for path, value in params.items()}
