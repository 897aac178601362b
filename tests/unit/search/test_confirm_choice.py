from collections.abc import Callable
from typing import Any

import pytest

from bmtune.config.root import TrialConfig
from bmtune.config.space import SearchSpace
from bmtune.config.space_model import RunSettings
from bmtune.errors import ConfigError
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.search.confirm_choice import AFFORDABLE
from bmtune.search.confirm_choice import STARTING_S
from bmtune.search.confirm_choice import TOGETHER
from bmtune.search.confirm_choice import Wish
from bmtune.search.confirm_choice import affordable
from bmtune.search.confirm_choice import choose
from bmtune.search.confirm_choice import expected_seconds
from bmtune.search.confirm_choice import fresh_seeds
from bmtune.search.confirm_choice import parse_wish
from bmtune.search.confirm_choice import plan_confirmation
from bmtune.search.confirm_choice import reseeded
from bmtune.search.confirm_choice import seconds_of_search
from bmtune.search.proposals import derived_seed
from bmtune.search.state import SearchState

LR, BOND = "trainer.classification.optimizer.lr", "born.bond_dim"


def epoch(trial: int, number: int, loss: float, seconds: float = 0.5, **more: Any) -> Epoch:
    metrics = {"loss": loss}
    fields = {"phase": "pre", "budget": number, "best_epoch": number, "best_metrics": metrics, **more}
    return Epoch(trial=trial, epoch=number, metrics=metrics, seconds=seconds, eligible=True, **fields)


@pytest.fixture
def make_state(make_space: Callable[..., SearchSpace]) -> Callable[..., SearchState]:
    """A state of trials given as (lr, loss, status); without a status a trial still runs."""

    def make(*trials: tuple[float, float, str | None]) -> SearchState:
        state = SearchState(make_space(("eta: 3, grace: 1}", "eta: 3, grace: 1}\nrun: {scheduler: none}")))
        for number, (lr, loss, status) in enumerate(trials):
            state.apply(TrialStarted(trial=number, params={LR: lr / 10, BOND: 6}, seed=number, time=0.0))
            state.apply(epoch(number, 1, loss))
            if status is not None:
                value = None if status == "failed" else loss
                state.apply(TrialFinished(trial=number, status=status, reason="so", value=value, time=1.0))
        return state

    return make


def test_the_best_and_the_base_are_chosen(make_state: Callable[..., SearchState]) -> None:
    done = "completed"
    found = choose(make_state((0.1, 5.0, done), (0.2, 2.0, done), (0.3, 1.0, done), (0.4, 3.0, done)), 2)
    assert (found.chosen, found.base) == ((2, 1), 0)
    assert [trial.number for trial in found.trials] == [2, 1, 0]
    assert found.notice is None


def test_a_base_that_is_among_the_best_is_there_once(make_state: Callable[..., SearchState]) -> None:
    found = choose(make_state((0.1, 1.0, "completed"), (0.2, 2.0, "completed")), 2)
    assert [trial.number for trial in found.trials] == [0, 1]
    assert found.base == 0


def test_equal_configurations_count_once(make_state: Callable[..., SearchState]) -> None:
    done = "completed"
    found = choose(make_state((0.1, 3.0, done), (0.2, 2.0, done), (0.2, 1.0, done), (0.1, 2.5, done)), 3)
    # Trial 3 has the base configuration and was luckier than trial 0.
    assert (found.chosen, found.base) == ((2, 3), 3)
    assert [trial.number for trial in found.trials] == [2, 3]
    assert found.notice == "3 configurations were asked for and 2 could be measured: those are confirmed"


def test_failed_trials_are_not_chosen_and_a_failed_base_is_confirmed_all_the_same(
    make_state: Callable[..., SearchState],
) -> None:
    found = choose(make_state((0.1, 0.1, "failed"), (0.2, 2.0, "completed")), 1)
    assert [trial.number for trial in found.trials] == [1, 0]


def test_trials_of_a_killed_run_count_as_they_stand(make_state: Callable[..., SearchState]) -> None:
    found = choose(make_state((0.1, 2.0, "completed"), (0.2, 1.0, None)), 1)
    assert found.chosen == (1,)


def test_fresh_seeds_are_no_trials_and_stay_when_more_are_asked_for() -> None:
    seeds = fresh_seeds(7, 20)
    assert fresh_seeds(7, 5) == seeds[:5]
    assert len(set(seeds)) == 20
    assert not set(seeds) & {derived_seed(7, trial) for trial in range(1000)}
    assert not set(seeds) & set(fresh_seeds(8, 20))


def test_a_fresh_seed_changes_start_batches_and_split() -> None:
    config = TrialConfig.model_validate({"seed": 1, "pre_seed": 2, "data": {"split_seed": 3}})
    found = reseeded(config, 99)
    assert (found.seed, found.start_seed, found.seed_of("gan"), found.data.split_seed) == (99, 99, 99, 99)
    assert reseeded(found, 99) == found


@pytest.mark.parametrize(("top", "seeds"), [(0, 5), (3, 1)])
def test_too_few_of_either_are_refused(top: int, seeds: int) -> None:
    with pytest.raises(ConfigError, match="a confirmation takes at least"):
        Wish(top, seeds)


@pytest.mark.parametrize(("text", "wish"), [("none", None), ("3:5", Wish(3, 5)), ("12:2", Wish(12, 2))])
def test_a_wish_is_read(text: str, wish: Wish | None) -> None:
    assert parse_wish(text) == wish


@pytest.mark.parametrize("text", ["3", "3:", "3:1", "0:5", "-1:5", "a:b", "3:5:7"])
def test_a_search_refuses_what_is_no_wish(text: str) -> None:
    with pytest.raises(ValueError, match="confirm must be auto, none or K:S"):
        RunSettings(confirm=text)
    assert RunSettings(confirm="0").confirm == "none"


def test_all_trainings_run_at_once_where_a_search_would_let_them() -> None:
    plan = plan_confirmation(RunSettings(max_concurrent=1), 20, 2)
    assert (plan.hosts, plan.lanes, plan.concurrent) == (2, 10, 20)
    parts = plan_confirmation(RunSettings(gpus_per_trial=0.25), 20, 2)
    assert (parts.hosts, parts.lanes, parts.gpus) == (2, 4, 1)
    assert plan_confirmation(RunSettings(pack=1), 20, 2).concurrent == 2


def test_what_a_confirmation_takes_is_expected_from_what_the_search_took(
    make_state: Callable[..., SearchState],
) -> None:
    found = choose(make_state((0.1, 2.0, "completed"), (0.2, 1.0, "completed")), 1)
    epochs = [
        epoch(0, 1, 2.0, 3.0, budget=0),
        epoch(0, 1, 2.0, 4.0, phase="gan", budget=1),
        epoch(1, 1, 2.0, 1.0, phase="gan", budget=1),
        epoch(1, 2, 2.0, 2.0, phase="gan", budget=2),
    ]
    # Each pre-trains for 3 s; trial 0 takes 4 s an epoch, trial 1 takes 1.5 s.
    assert expected_seconds(epochs, found, 10) == pytest.approx(TOGETHER * (3 + 40 + 3 + 15))


def test_the_most_that_is_affordable_is_confirmed() -> None:
    choices = list(zip(AFFORDABLE, (40.0, 30.0, 20.0), strict=True))
    assert affordable(choices, 2, STARTING_S + 100) == Wish(3, 5)
    assert affordable(choices, 2, STARTING_S + 99) == Wish(2, 5)
    assert affordable(choices, 1, STARTING_S + 100) == Wish(1, 5)
    assert affordable(choices, 2, STARTING_S + 49) is None


def test_the_time_in_which_a_broken_off_search_did_not_run_is_none_of_its_time() -> None:
    began = RunStarted(
        run="night",
        trainer="classification",
        dataset="iris",
        data_hash="0",
        objective=Objective(metric="loss", mode="min"),
        trials=2,
        max_epochs=9,
        seed=0,
        bmtune="0",
        time=1000.0,
    )
    starts = [TrialStarted(trial=number, params={}, seed=0, time=1000.0 + 20 * number) for number in range(3)]
    whole: list[Record] = [began, *starts]
    assert seconds_of_search(whole, 1050.0) == (50.0, 50.0)
    # Its last record is of the 40th second; a day later it went on.
    again: list[Record] = [*whole, RunResumed(trials=4, bmtune="0", time=90_000.0)]
    assert seconds_of_search(again, 90_010.0) == (50.0, 10.0)
    again += [TrialStarted(trial=3, params={}, seed=0, time=90_030.0), epoch(3, 1, 0.5)]
    twice = [*again, RunResumed(trials=4, bmtune="0", time=200_000.0)]
    assert seconds_of_search(twice, 200_005.0) == (75.0, 5.0)
