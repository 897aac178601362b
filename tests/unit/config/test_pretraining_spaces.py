from collections.abc import Callable

import pytest

from bmtune.config.pretraining import pretrains_alike
from bmtune.config.root import RECIPES
from bmtune.config.space import SearchSpace
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_rules import pinned

MakeSpace = Callable[..., SearchSpace]
LR = "trainer.ganstyle.optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}"
GAN = f"""
trainer: gan
objective: {{metric: fid}}
base: {{data: {{dataset: moons_small}}}}
parameters:
  {LR}
"""


@pytest.mark.parametrize(
    ("parameter", "alike"),
    [
        ("trainer.ganstyle.tolerance: {type: float, low: 0.01, high: 0.1}", True),
        ("evaluation.num_samples: {type: int, low: 100, high: 3000}", True),
        ("born.bond_dim: {type: int, low: 4, high: 12}", True),
        ("born.init: {type: categorical, choices: [identity, normal]}", True),
        ("born.init_std: {type: float, low: 0.0, high: 0.1, step: 0.01}", True),
        ("born.init_std: {type: float, low: 1e-5, high: 1e-1, log: true}", False),
        ("trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 5e-2}", False),
    ],
)
def test_trials_pretrain_alike_unless_a_real_number_of_it_is_searched(
    make_space: MakeSpace, parameter: str, *, alike: bool
) -> None:
    assert pretrains_alike(make_space((LR, f"{LR}\n  {parameter}"), text=GAN)) is alike


def test_a_real_number_that_some_trials_do_not_have_lets_those_share(make_space: MakeSpace) -> None:
    pre = "trainer.classification"
    more = (
        f"{LR}\n  {pre}.criterion.name: {{type: categorical, choices: [negative log-likelihood, brier]}}"
        f"\n  {pre}.optimizer.lr: {{type: float, low: 1e-4, high: 1e-1, when: {{{pre}.criterion.name: brier}}}}"
    )
    assert pretrains_alike(make_space((LR, more), text=GAN))


def test_the_spaces_that_come_with_bmtune_search_the_scale_of_the_start_and_share_once_it_is_fixed() -> None:
    spaces = {trainer: load_space(default_space_path(trainer)) for trainer in RECIPES}
    assert not any(map(pretrains_alike, spaces.values()))
    fixed = {trainer: pinned(space, {"born.init_std": 1e-2}, "a test") for trainer, space in spaces.items()}
    assert [trainer for trainer in RECIPES if pretrains_alike(fixed[trainer])] == ["gan"]


@pytest.mark.parametrize("trainer", ["generative", "adversarial"])
def test_where_pretraining_is_a_choice_it_counts_when_it_is_chosen_or_searched(
    make_space: MakeSpace, trainer: str
) -> None:
    space = make_space(("trainer: gan", f"trainer: {trainer}"), ("ganstyle", trainer), text=GAN)
    assert not pretrains_alike(space)
    assert pretrains_alike(pinned(space, {f"trainer.{trainer}.pretrain": True}, "a test"))
    pretrain = f"trainer.{trainer}.pretrain: {{type: categorical, choices: [true, false]}}"
    searched = f"{LR.replace('ganstyle', trainer)}\n  {pretrain}"
    text = GAN.replace("trainer: gan", f"trainer: {trainer}")
    assert pretrains_alike(make_space((LR, searched), text=text))
