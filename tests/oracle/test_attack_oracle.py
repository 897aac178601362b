from functools import lru_cache

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent
from art.attacks.evasion import ProjectedGradientDescentNumpy
from art.estimators.classification import PyTorchClassifier

from bmtune import training
from bmtune.attacks import apgd
from bmtune.attacks import attack
from bmtune.attacks import ball_noise
from bmtune.attacks import log_odds
from bmtune.attacks import make_ball
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.born import log_weights
from bmtune.config.adversarial import AttackConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler

ART_NORMS = {"l2": 2, "linf": np.inf}
EPS = 0.08
AGREEMENT = 0.01


class Classifier(torch.nn.Module):
    """The class probabilities of a Born machine as a module: logits are the log-weights."""

    def __init__(self, chain, cores):
        super().__init__()
        self.chain, self.cores = chain, cores

    def forward(self, x):
        return log_weights(self.cores, self.chain.features(x)).T


class Target:
    """A trained machine on [0, 1], its rows, and the same model as the toolbox sees it."""

    def __init__(self, dataset):
        born = {"embedding": "fourier", "physical_dim": 6, "bond_dim": 4}
        pre = {"max_epoch": 6, "batch_size": 50, "optimizer": {"lr": 3e-2}}
        config = TrialConfig.model_validate(
            {"recipe": "classification", "data": {"dataset": dataset}, "born": born, "trainer": {"classification": pre}}
        )
        problem = training.make_problem(config, DataHandler(config.data, get_embedding("fourier").data_interval))
        state = training.start(problem)
        while not state.status.ended:
            state, _ = training.advance(problem, state)
        cores = Cores(*(core.detach() for core in state.cores))
        self.x = torch.cat([split.x for split in problem.splits.values()])
        self.y = torch.cat([split.y for split in problem.splits.values()])
        self.module = Classifier(problem.chain, cores)
        self.rival = PyTorchClassifier(
            self.module,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=(self.x.shape[1],),
            nb_classes=problem.chain.num_classes,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )

    def loss(self, x):
        return log_odds(self.module(x).T, self.y)

    def accuracy(self, x):
        return (self.module(torch.as_tensor(x)).argmax(1) == self.y).double().mean().item()


@lru_cache
def target(dataset):
    return Target(dataset)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dataset", ["moons_small", "iris"])
def test_pgd_leaves_the_accuracy_that_the_toolbox_leaves(dataset, norm, steps):
    model = target(dataset)
    step = 2.5 * EPS / steps if steps > 1 else EPS
    rival = ProjectedGradientDescentNumpy(
        model.rival, norm=ART_NORMS[norm], eps=EPS, eps_step=step, max_iter=steps, num_random_init=0, verbose=False
    )
    theirs = model.accuracy(rival.generate(model.x.numpy(), model.y.numpy()))
    config = AttackConfig(norm=norm, steps=steps, relative_step=step * steps / EPS, random_start=False)
    noise = torch.zeros(1, *model.x.shape)
    ours = model.accuracy(attack(config, model.loss, model.x, noise, radius=EPS, interval=(0.0, 1.0)))
    assert ours == pytest.approx(theirs, abs=AGREEMENT)
    assert ours < model.accuracy(model.x) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_apgd_leaves_no_more_than_that_of_the_toolbox(norm):
    model = target("moons_small")
    rival = AutoProjectedGradientDescent(
        model.rival,
        norm=ART_NORMS[norm],
        eps=EPS,
        eps_step=2 * EPS,
        max_iter=30,
        nb_random_init=2,
        loss_type="cross_entropy",
        verbose=False,
    )
    np.random.seed(0)
    theirs = model.accuracy(rival.generate(model.x.numpy(), model.y.numpy()))
    ball = make_ball(norm, model.x, EPS, (0.0, 1.0))
    noise = EPS * ball_noise(norm, (2, *model.x.shape), torch.Generator().manual_seed(0), torch.float32)
    found = apgd(model.loss, ball, noise, steps=30)
    right = torch.stack([model.module(x).argmax(1) == model.y for x in found]).all(0)
    assert right.double().mean().item() <= theirs + AGREEMENT
    assert theirs < model.accuracy(model.x) - 0.02
