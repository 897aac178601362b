from functools import lru_cache

import pytest
import torch

from bmtune import training
from bmtune.born import get_embedding
from bmtune.config.data import DataConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler

torch.set_num_threads(1)


@lru_cache
def load(dataset, embedding):
    return DataHandler(DataConfig(dataset=dataset), get_embedding(embedding).interval)


@pytest.fixture
def problem_of():
    """A small problem: 200 training rows of two moons, and every trainer's fields as keyword groups."""

    def build(
        recipe="gan",
        dataset="moons_small",
        seed=0,
        born=None,
        pre=None,
        gan=None,
        critic=None,
        retrain=None,
        best_epoch=None,
    ):
        config = {
            "recipe": recipe,
            "seed": seed,
            "data": {"dataset": dataset},
            "born": {"physical_dim": 6, "bond_dim": 4, **(born or {})},
            "trainer": {
                "classification": {"max_epoch": 3, "batch_size": 50, "optimizer": {"lr": 2e-2}, **(pre or {})},
                "ganstyle": {
                    "max_epoch": 3,
                    "sampling": {"num_per_class": 50, "num_bins": 20},
                    "critic": {
                        "min_width": 8,
                        "width_multipliers": [1.0],
                        "steps": 2,
                        "pretrain_epochs": 1,
                        **(critic or {}),
                    },
                    "retrain": {"max_epoch": 3, "batch_size": 50, **(retrain or {})},
                    **(gan or {}),
                },
            },
            "evaluation": {"num_samples": 60, "num_bins": 20},
            "best_epoch": best_epoch or {},
        }
        resolved = TrialConfig.model_validate(config)
        return training.make_problem(resolved, load(dataset, resolved.born.embedding))

    return build


@pytest.fixture
def run():
    """Trains to the end: the last state and every report."""

    def to_the_end(problem, state=None, goal=None):
        state, reports = state or training.start(problem, goal), []
        while not state.status.ended:
            state, report = training.advance(problem, state)
            reports.append(report)
        return state, reports

    return to_the_end
