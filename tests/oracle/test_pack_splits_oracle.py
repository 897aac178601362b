"""Trials on different splits of the data share a pack, and each is trained and measured as it is alone."""

from functools import lru_cache

import pytest
import torch

from bmtune.born import get_embedding
from bmtune.config.data import DataConfig
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing import Lane
from bmtune.packing import advance_lanes
from bmtune.packing import pack_key
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import start

EPOCHS = 2
SMALL = {
    "data.dataset": "moons_small",
    "born.physical_dim": 4,
    "born.dtype": "float64",
    "evaluation.num_samples": 40,
    "evaluation.num_bins": 20,
    "trainer.classification.metrics": {"acc": 1, "loss": 1, "fid": 1},
    "trainer.classification.max_epoch": 5,
    "trainer.ganstyle.sampling.num_per_class": 20,
    "trainer.ganstyle.sampling.num_bins": 20,
}


@lru_cache
def load(split_seed: int) -> DataHandler:
    return DataHandler(
        DataConfig(dataset="moons_small", split_seed=split_seed), get_embedding("legendre").data_interval
    )


def lane(split_seed: int, bond_dim: int, recipe: str) -> Lane:
    values = {**SMALL, "recipe": recipe, "seed": split_seed, "born.bond_dim": bond_dim, "born.embedding": "legendre"}
    if recipe == "generative":
        values["trainer.generative.pretrain"] = False
    config = with_values(TrialConfig(), {**values, "data.split_seed": split_seed})
    problem = make_problem(config, load(split_seed))
    return Lane(problem, start(problem))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["classification", "generative", "adversarial", "gan"])
def test_a_trial_among_others_on_other_splits_equals_itself_alone(recipe: str) -> None:
    # Two on one split and one on another, which are not beside each other.
    lanes = [lane(3, 4, recipe), lane(8, 3, recipe), lane(3, 3, recipe)]
    assert len({pack_key(*one) for one in lanes}) == 1
    assert not torch.equal(lanes[0].problem.splits["train"].x, lanes[1].problem.splits["train"].x)
    together, alone = lanes, lanes
    for _ in range(EPOCHS):
        packed, single = advance_lanes(together), [advance(*one) for one in alone]
        for (_, found), (_, wanted) in zip(packed, single, strict=True):
            assert found.metrics == pytest.approx(wanted.metrics, rel=1e-7)
        together = [one._replace(state=state) for one, (state, _) in zip(together, packed, strict=True)]
        alone = [one._replace(state=state) for one, (state, _) in zip(alone, single, strict=True)]
    for one, other in zip(together, alone, strict=True):
        for found, wanted in zip(one.state.cores, other.state.cores, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)
    losses = [entry.metrics["loss"] for _, entry in single]
    assert len(set(losses)) == len(losses)
