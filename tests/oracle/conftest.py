from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre
from scipy.special import eval_chebyt
from scipy.special import eval_chebyu
from scipy.special import eval_hermite
from scipy.special import factorial

from bmtune.born import BornMachine
from bmtune.born import get_embedding
from bmtune.born.cores import cores_from_tensors
from bmtune.config.born import BornConfig
from bmtune.config.data import DataConfig
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import make_problem

torch.set_num_threads(1)


def trigonometry(x, d):
    columns = [np.ones_like(x)]
    for k in range(1, d):
        turns = 2 * np.pi * ((k + 1) // 2) * x
        columns.append(np.sqrt(2) * (np.cos(turns) if k % 2 else np.sin(turns)))
    return np.stack(columns, -1)


def polynomials(x, d):
    return np.stack([np.sqrt((2 * k + 1) / 2) * legendre.legval(x, np.eye(d)[k]) for k in range(d)], -1)


def hermite_functions(x, d):
    scale = [np.sqrt(np.sqrt(np.pi) * 2.0**k * factorial(k)) for k in range(d)]
    return np.stack([eval_hermite(k, x) * np.exp(-(x**2) / 2) / scale[k] for k in range(d)], -1)


def first_kind(x, d):
    scale = np.sqrt(np.where(np.arange(d) == 0, 1, 2) / np.pi)
    return np.stack([scale[k] * eval_chebyt(k, x) * (1 - x**2) ** -0.25 for k in range(d)], -1)


def second_kind(x, d):
    # Rounding can carry the end of the interval over 1.
    weight = np.clip(1 - x**2, 0, None) ** 0.25
    return np.stack([np.sqrt(2 / np.pi) * eval_chebyu(k, x) * weight for k in range(d)], -1)


FUNCTIONS = {
    "fourier": (trigonometry, (0.0, 1.0)),
    "legendre": (polynomials, (-1.0, 1.0)),
    "hermite": (hermite_functions, (-4.0, 4.0)),
    "chebyshev1": (first_kind, (-0.99, 0.99)),
    "chebyshev2": (second_kind, (-1.0, 1.0)),
}


class Dense:
    """A Born machine as numpy sees it: the full tensor (C, d, .., d) and explicit functions."""

    def __init__(self, tensors, embedding):
        num_sites = len(tensors) - 1
        position = (num_sites + 1) // 2
        whole = tensors[0].numpy()
        for tensor in tensors[1:]:
            whole = np.tensordot(whole, tensor.numpy(), 1)
        self.tensor = np.moveaxis(whole, position, 0)
        self.num_sites, self.d = num_sites, whole.shape[0]
        self.functions, self.interval = FUNCTIONS[embedding]

    def psi(self, x):
        """(C, B) amplitudes of rows (B, N)."""
        phi = self.functions(x, self.d)
        found = np.einsum("cp...,bp->bc...", self.tensor, phi[:, 0])
        for site in range(1, self.num_sites):
            found = np.einsum("bcp...,bp->bc...", found, phi[:, site])
        return found.T

    def quadrature(self, num_nodes):
        """Nodes (M,) and weights (M,) on the interval.

        Gauss-Legendre in t with x = middle + half sin(t), where the roots in the chebyshev functions are smooth.
        """
        nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
        low, high = self.interval
        angle, half = nodes * np.pi / 2, (high - low) / 2
        return (low + high) / 2 + half * np.sin(angle), half * np.cos(angle) * weights * np.pi / 2

    def overlaps(self):
        """The Gram matrix (d, d) of the functions."""
        x, weights = self.quadrature(120)
        phi = self.functions(x, self.d)
        return (phi * weights[:, None]).T @ phi

    def norms(self):
        """Z_c (C,): the full tensor with its conjugate, through the functions' overlaps at every site."""
        overlaps, seen = self.overlaps(), self.tensor
        for axis in range(1, self.num_sites + 1):
            seen = np.moveaxis(np.tensordot(seen, overlaps, (axis, 0)), -1, axis)
        return (seen * self.tensor.conj()).real.reshape(len(seen), -1).sum(1)


@pytest.fixture
def pair():
    """A machine with random cores, and the same as a dense tensor built from the tensors in the order of sites."""

    def build(num_sites, num_classes=2, embedding="legendre", dtype="float64", d=3, bond_dim=3, seed=0):
        generator = torch.Generator().manual_seed(seed)
        position, kind = (num_sites + 1) // 2, getattr(torch, dtype)
        sizes = [num_classes if site == position else d for site in range(num_sites + 1)]
        shapes = [(bond_dim, size, bond_dim) for size in sizes]
        shapes[0], shapes[-1] = shapes[0][1:], shapes[-1][:-1]
        tensors = [torch.randn(shape, dtype=kind, generator=generator) / bond_dim**0.5 for shape in shapes]
        config = BornConfig(embedding=embedding, physical_dim=d, bond_dim=bond_dim, dtype=dtype)
        born = BornMachine.start(config, num_sites, num_classes)
        born.cores = cores_from_tensors(tensors)
        return born, Dense(tensors, embedding)

    return build


@pytest.fixture
def dense_of():
    """The dense form of any machine, for densities on a grid."""
    return Dense


@lru_cache
def clusters(embedding):
    """120 rows of three overlapping classes; with five features a chain has every kind of core."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = 0.4 * rng.normal(size=(120, 5)) + np.eye(3, 5)[y]
    return DataHandler.from_arrays(x, y, DataConfig(), get_embedding(embedding).data_interval)


def lane_config(recipe, number):
    """Trial number `number`, 0 or more: all that may differ inside a pack does differ between two numbers."""
    optimizer = {
        "lr": 1e-3 * (1 + number),
        "lr_decay": 0.01 * number,
        "weight_decay": 0.01 * (1 + number),
        "betas": [0.9 - 0.1 * number, 0.99 - 0.01 * number],
    }
    epochs = {"max_epoch": 2 + number, "patience": 5 + number, "save": bool(number % 2)}
    rows = {"batch_size": 8, "optimizer": optimizer}
    critic = {
        "min_width": 8,
        "width_multipliers": [1.0],
        "steps": 1,
        "pretrain_epochs": 1 + number % 2,
        "optimizer": optimizer,
        "loss": {"name": "wgan-gp", "gradient_penalty": 1.0 + number},
    }
    trainers = {
        "classification": epochs | rows,
        "ganstyle": {
            **epochs,
            "optimizer": optimizer,
            "sampling": {"num_per_class": 4, "num_bins": 8},
            "critic": critic,
            # A tolerance of 0 sends a trial into retraining; each watches something else.
            "tolerance": [1.0, 0.0, 0.01][number % 3],
            "retrain_crit": ["acc", "loss"][number % 2],
            "retrain": {"max_epoch": 1 + number % 2, **rows},
        },
        "generative": {
            **epochs,
            **rows,
            "pretrain": bool(number % 2),
            "criterion": {"name": "mixed", "alpha": 0.3 + 0.1 * number},
            "norm_control": {"every": 3, "penalty": 0.1 + number, "target": ["start", 1.0, 2.0][number % 3]},
        },
        "adversarial": {
            **epochs,
            **rows,
            "pretrain": bool(number % 2),
            "epsilon": 0.05 * (1 + number),
            "curriculum": {"start": 0.5, "until": 1 + number},
            "attack": {"steps": 2},
            "method": {"name": "trades", "beta": 1.0 + number},
        },
    }
    born = {"bond_dim": 4, "physical_dim": 4, "dtype": "float64", "init_std": 0.01 * (1 + number)}
    measured = {"num_samples": 30, "num_bins": 12, "strengths": [0.1], "attack": {"steps": 2}}
    raw = {"recipe": recipe, "seed": number, "born": born, "trainer": trainers, "evaluation": measured}
    return TrialConfig.model_validate(raw)


OPTIMIZERS = tuple(
    f"trainer.{section}.optimizer"
    for section in ("classification", "ganstyle.retrain", "ganstyle.critic", "ganstyle", "generative", "adversarial")
)
"""The paths of all optimizers."""


@pytest.fixture
def lane_problem():
    """A small trial of a recipe, with some values by dotted path and one kind of optimizer everywhere."""

    def build(recipe, number, values=None, *, optimizer="adam"):
        kinds = {f"{path}.name": optimizer for path in OPTIMIZERS}
        if optimizer == "sgd":
            # A gradient is small beside Adam's steps of the size of the rate.
            kinds |= {f"{path}.lr": 0.005 * (1 + number) for path in OPTIMIZERS}
        config = with_values(lane_config(recipe, number), kinds | (values or {}))
        return make_problem(config, clusters(config.born.embedding))

    return build
