"""What every sampler must keep; inherit `ProposalsContract` and name the sampler."""

from collections.abc import Callable

import pytest

from bmtune.config.space import SearchSpace
from bmtune.config.space_model import Params
from bmtune.config.space_model import is_active
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.conduct import take_report
from bmtune.search.ledger import Ledger
from bmtune.search.proposals import derived_seed
from bmtune.search.trial_run import TrialReport

LOSS = "trainer.ganstyle.critic.loss"
SPACE = f"""
trainer: gan
objective: {{metric: fid}}
budget: {{trials: 24, max_epochs: 4, eta: 3, grace: 2}}
parameters:
  {LOSS}.name: {{type: categorical, choices: [bce, wgan-gp]}}
  {LOSS}.gradient_penalty: {{type: float, low: 0.1, high: 20, log: true, when: {{{LOSS}.name: wgan-gp}}}}
  born.bond_dim: {{type: int, low: 4, high: 12, step: 2}}
  trainer.ganstyle.tolerance: {{type: float, low: 0.01, high: 0.1, step: 0.01}}
  trainer.ganstyle.critic.width_multipliers: {{type: categorical, choices: [[4.0, 4.0], [8.0]]}}
run: {{sampler: SAMPLER, seed: SEED}}
"""
Propose = Callable[[int], list[Params]]


class ProposalsContract:
    """The obligations of a sampler."""

    sampler = ""

    @pytest.fixture
    def space(self, make_space: Callable[..., SearchSpace]) -> Callable[[int], SearchSpace]:
        return lambda seed: make_space(text=SPACE.replace("SAMPLER", self.sampler).replace("SEED", str(seed)))

    @pytest.fixture
    def proposals(self, space: Callable[[int], SearchSpace], open_ledger: Callable[..., Ledger]) -> Propose:
        def propose(seed: int) -> list[Params]:
            ledger = open_ledger(space(seed), name=f"records-{seed}-{len(seen)}.jsonl")
            seen.append(ledger)
            params = []
            while (started := begin_trial(ledger)) is not None:
                params.append(started.params)
                if started.trial % 5 == 4:
                    end_trial(ledger, started.trial, "failed", "now and then one fails")
                elif started.trial % 2 == 0:
                    take_report(ledger, started.trial, TrialReport())
            return params

        seen: list[Ledger] = []
        return propose

    def test_every_proposal_lies_in_the_space(self, space: Callable[[int], SearchSpace], proposals: Propose) -> None:
        dimensions = dict(space(0).parameters)
        for params in proposals(0):
            assert all(dimensions[path].contains(value) for path, value in params.items())
            assert set(params) == {path for path, dimension in dimensions.items() if is_active(dimension, params)}
            space(0).configure(params)

    def test_the_first_trial_is_the_base(self, space: Callable[[int], SearchSpace], proposals: Propose) -> None:
        assert proposals(0)[0] == space(0).base_params()

    def test_the_same_seed_proposes_the_same(self, proposals: Propose) -> None:
        assert proposals(3) == proposals(3)

    def test_every_seed_begins_with_a_sample_of_its_own(self, proposals: Propose) -> None:
        first = [proposals(seed)[1:4] for seed in range(4)]
        assert all(left != right for place, left in enumerate(first) for right in first[place + 1 :])

    def test_no_proposal_repeats_the_first_draw(self, proposals: Propose) -> None:
        later = proposals(1)[1:]
        assert len({str(params) for params in later}) > len(later) // 2

    def test_both_branches_of_a_condition_are_proposed(self, proposals: Propose) -> None:
        names = {params[f"{LOSS}.name"] for params in proposals(2)}
        assert names == {"bce", "wgan-gp"}


class TestTreeOfParzenEstimators(ProposalsContract):
    sampler = "tpe"


class TestRandom(ProposalsContract):
    sampler = "random"


def test_seeds_of_trials_and_runs_differ() -> None:
    seeds = {derived_seed(run, trial) for run in range(20) for trial in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**31 for seed in seeds)
