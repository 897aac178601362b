import numpy as np
import pytest
import torch

from bmtune import training
from bmtune.born import EMBEDDINGS
from bmtune.born import BornMachine
from bmtune.config.data import DataConfig
from bmtune.config.root import RECIPES
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler

NODES = 24


def grid_of(embedding, num_sites):
    """Nodes (M, N) and weights (M,) over the interval to the power N, exact to rounding for these functions.

    Gauss-Legendre, for the chebyshev functions in t with x = sin(t), where their weights are smooth.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40 if embedding.name == "hermite" else NODES)
    bends = embedding.name.startswith("chebyshev")
    low, high = np.arcsin(embedding.interval) if bends else embedding.interval
    nodes, weights = low + (nodes + 1) * (high - low) / 2, weights * (high - low) / 2
    if bends:
        nodes, weights = np.sin(nodes), weights * np.cos(nodes)
    mesh = np.stack(np.meshgrid(*[nodes] * num_sites, indexing="ij"), -1).reshape(-1, num_sites)
    shares = np.stack(np.meshgrid(*[weights] * num_sites, indexing="ij"), -1).reshape(-1, num_sites).prod(1)
    return torch.from_numpy(mesh), torch.from_numpy(shares)


def check(born, tolerance):
    rows, weights = grid_of(born.chain.embedding, born.chain.num_sites)
    assert (born.log_marginal(rows).double().exp() @ weights).item() == pytest.approx(1, abs=tolerance)
    each = weights @ born.log_conditional(rows).double().exp()
    torch.testing.assert_close(each, torch.ones_like(each), rtol=0, atol=tolerance)


def problem_of(recipe, num_sites, born):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    x = generator.normal(size=(60, num_sites)) + labels[:, None]
    small = {"max_epoch": 2, "batch_size": 10, "optimizer": {"lr": 5e-2}}
    config = TrialConfig.model_validate(
        {
            "recipe": recipe,
            "born": {"physical_dim": 4, "bond_dim": 3, **born},
            "trainer": {
                "classification": small,
                "ganstyle": {
                    "max_epoch": 1,
                    "optimizer": {"lr": 5e-2},
                    "sampling": {"num_per_class": 10, "num_bins": 20},
                    "critic": {"min_width": 8, "steps": 1, "pretrain_epochs": 1},
                    "tolerance": 0.0,
                    "retrain_crit": "loss",
                    "retrain": small,
                },
                "generative": {**small, "pretrain": True, "norm_control": {"every": 3, "penalty": 0.1}},
                "adversarial": {**small, "attack": {"steps": 2}},
            },
            "evaluation": {"num_samples": 20, "num_bins": 20, "strengths": [0.1], "attack": {"steps": 2}},
        }
    )
    chain = BornMachine.start(config.born, num_sites, 2).chain
    return training.make_problem(
        config, DataHandler.from_arrays(x, labels, DataConfig(), chain.embedding.data_interval)
    )


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("num_sites", [1, 2, 3])
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_densities_integrate_to_one_before_and_after_every_epoch(recipe, num_sites, embedding, dtype):
    problem = problem_of(recipe, num_sites, {"embedding": embedding, "dtype": dtype, "init_std": 0.1})
    tolerance = 1e-4 if dtype in ("float32", "complex64") else 1e-10
    state = training.start(problem)
    first = state.cores
    check(BornMachine(problem.chain, state.cores), tolerance)
    while not state.status.ended:
        state, _ = training.advance(problem, state)
        check(BornMachine(problem.chain, state.cores), tolerance)
    assert state.status is training.Status.FINISHED
    assert not torch.equal(first.edge, state.cores.edge)


@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("recipe", ["gan", "generative"])
def test_genloss_never_falls_below_its_floor(recipe, embedding):
    problem = problem_of(recipe, 2, {"embedding": embedding})
    ends = torch.linspace(*problem.chain.embedding.data_interval, 2001, dtype=torch.float64)
    phi = problem.chain.embedding.values(ends, 4, -1)
    # Cauchy and Schwarz with the Gram matrix; for orthonormal functions this is |phi|^2.
    highest = (phi * torch.linalg.solve(problem.chain.embedding.gram(4), phi.T).T).sum(-1).max().log().item()
    state = training.start(problem)
    while not state.status.ended:
        state, report = training.advance(problem, state)
        valid = problem.splits["valid"]
        joint = BornMachine(problem.chain, state.cores).log_joint(valid.x).gather(1, valid.y[:, None])
        assert -joint.mean().item() >= -2 * highest
        assert report.metrics.get("genloss", np.inf) >= -2 * highest
