from functools import lru_cache

import pytest
import torch

from bmtune import training
from bmtune.attacks import log_odds
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.born import log_weights
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler

torch.set_num_threads(1)


@lru_cache
def trained_problem(dataset, embedding):
    born = {"embedding": embedding, "physical_dim": 6, "bond_dim": 4, "dtype": "float64"}
    pre = {"max_epoch": 6, "batch_size": 25, "optimizer": {"lr": 3e-2}}
    config = TrialConfig.model_validate(
        {"recipe": "classification", "data": {"dataset": dataset}, "born": born, "trainer": {"classification": pre}}
    )
    problem = training.make_problem(config, DataHandler(config.data, get_embedding(embedding).data_interval))
    state = training.start(problem)
    while not state.status.ended:
        state, _ = training.advance(problem, state)
    return problem, Cores(*(core.detach() for core in state.cores))


class Victim:
    """A trained classifier, rows to attack, and its loss."""

    def __init__(self, dataset, embedding):
        problem, self.cores = trained_problem(dataset, embedding)
        self.chain, self.interval = problem.chain, problem.chain.embedding.data_interval
        self.x, self.labels = problem.splits["valid"].x, problem.splits["valid"].y

    def weights(self, x):
        return log_weights(self.cores, self.chain.features(x))

    def loss(self, x):
        return log_odds(self.weights(x), self.labels)

    def survivors(self, found):
        """How many rows are predicted rightly on every attempt (K, B, N)."""
        right = torch.stack([self.weights(x).argmax(0) == self.labels for x in found])
        return int(right.all(0).sum())


@pytest.fixture
def victim():
    return lambda dataset="moons_small", embedding="legendre": Victim(dataset, embedding)
