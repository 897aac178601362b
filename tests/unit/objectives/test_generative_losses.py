import re

import pytest
import torch

from bmtune import BornMachine
from bmtune import GenerativeNLL
from bmtune.born import EMBEDDINGS
from bmtune.born import Cores
from bmtune.born import log_partitions
from bmtune.born import log_weights
from bmtune.config.born import BornConfig
from bmtune.objectives import check_criterion
from bmtune.objectives import class_nll
from bmtune.objectives import joint_nll
from bmtune.objectives import mixed_nll
from bmtune.objectives import norm_penalty

CPU = torch.device("cpu")
EVERY_EMBEDDING = pytest.mark.parametrize("embedding", list(EMBEDDINGS))
DOUBLE = pytest.mark.parametrize("dtype", ["float64", "complex128"])


def machine(embedding="legendre", dtype="float64", num_sites=3):
    config = BornConfig(embedding=embedding, physical_dim=4, bond_dim=3, init_std=0.3, dtype=dtype)
    return BornMachine.start(config, num_sites, 3)


def rows(born, num_rows=12):
    low, high = born.chain.embedding.data_interval
    share = torch.rand(num_rows, born.chain.num_sites, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return low + (high - low) * share, torch.arange(num_rows) % 3


def terms(born, cores=None):
    """log u (C, B), labels (B,), log Z_c (C,)."""
    x, y = rows(born)
    cores = cores or born.cores
    return log_weights(cores, born.chain.features(x)), y, log_partitions(cores, born.chain.gram(CPU))


def test_a_joint_likelihood_written_out_by_hand():
    weights = torch.tensor([[2.0, 8.0], [6.0, 2.0]]).log()
    loss = joint_nll(weights, torch.tensor([0, 1]), torch.tensor([10.0, 30.0]).log())
    # -log(2 / 40) and -log(2 / 40).
    assert loss.item() == pytest.approx(torch.tensor(20.0).log().item(), rel=1e-6)


@EVERY_EMBEDDING
@DOUBLE
def test_it_is_the_mean_of_minus_the_log_of_the_machines_density(embedding, dtype):
    born = machine(embedding, dtype)
    x, y = rows(born)
    expected = -born.log_joint(x).gather(1, y[:, None]).mean()
    torch.testing.assert_close(joint_nll(*terms(born)), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(GenerativeNLL()(born, x, y), expected, rtol=1e-12, atol=1e-12)


@EVERY_EMBEDDING
@DOUBLE
def test_mixed_is_class_likelihood_at_0_joint_at_1_and_affine_between(embedding, dtype):
    weights, labels, partitions = terms(machine(embedding, dtype))
    first, last = class_nll(weights, labels), joint_nll(weights, labels, partitions)
    assert abs(first - last) > 0.1
    for alpha in (0.0, 0.25, 0.5, 1.0):
        expected = first + alpha * (last - first)
        torch.testing.assert_close(mixed_nll(weights, labels, partitions, alpha), expected, rtol=1e-12, atol=1e-12)
        lane = torch.tensor(alpha, dtype=torch.float64)
        torch.testing.assert_close(mixed_nll(weights, labels, partitions, lane), expected, rtol=1e-12, atol=1e-12)


@EVERY_EMBEDDING
@pytest.mark.parametrize("num_sites", [1, 2, 5])
@pytest.mark.parametrize("scale", [1e-4, 3.0])
def test_no_likelihood_moves_when_all_cores_are_scaled(embedding, num_sites, scale):
    born = machine(embedding, num_sites=num_sites)
    scaled = Cores(*(scale * core for core in born.cores))
    for loss in (joint_nll, lambda *given: mixed_nll(*given, 0.3)):
        torch.testing.assert_close(loss(*terms(born, scaled)), loss(*terms(born)), rtol=0, atol=1e-10)


@EVERY_EMBEDDING
@DOUBLE
@pytest.mark.parametrize("num_sites", [1, 2, 5])
def test_the_gradient_equals_finite_differences(embedding, dtype, num_sites):
    born = machine(embedding, dtype, num_sites)
    target = torch.tensor(0.7, dtype=torch.float64)

    def loss(*tensors):
        weights, labels, partitions = terms(born, Cores(*tensors))
        return mixed_nll(weights, labels, partitions, 0.7) + 0.3 * norm_penalty(partitions, target)

    leaves = [core.clone().requires_grad_() for core in born.cores]
    slopes = torch.autograd.grad(loss(*leaves), leaves, materialize_grads=True)
    generator, step = torch.Generator().manual_seed(1), 1e-6
    way = [torch.randn(core.shape, dtype=core.dtype, generator=generator) for core in born.cores]
    ahead, behind = (
        loss(*(core + sign * step * move for core, move in zip(born.cores, way, strict=True))) for sign in (1, -1)
    )
    predicted = sum((slope.conj() * move).real.sum() for slope, move in zip(slopes, way, strict=True))
    assert abs(predicted) > 1e-3
    torch.testing.assert_close(predicted, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)


@EVERY_EMBEDDING
def test_the_gradient_along_a_scaling_of_all_cores_is_zero(embedding):
    born = machine(embedding)
    leaves = Cores(*(core.clone().requires_grad_() for core in born.cores))
    slopes = torch.autograd.grad(joint_nll(*terms(born, leaves)), leaves, materialize_grads=True)
    along = sum((slope * core).sum() for slope, core in zip(slopes, born.cores, strict=True))
    assert abs(along) < 1e-12


def test_the_penalty_is_the_square_of_the_distance_of_log_z():
    partitions = torch.tensor([1.0, 3.0]).log()
    assert norm_penalty(partitions, torch.tensor(0.0)).item() == pytest.approx(1.9218121, rel=1e-6)
    assert norm_penalty(partitions, torch.tensor(4.0).log()).item() == pytest.approx(0, abs=1e-12)


class Wrong(GenerativeNLL):
    def __init__(self, prob=None, partition=None):
        self.prob, self.partition = prob, partition

    def compute_unnormalized_log_prob(self, bornmachine, data, labels):
        exact = super().compute_unnormalized_log_prob(bornmachine, data, labels)
        return self.prob(exact) if self.prob else exact

    def compute_log_partition(self, bornmachine, labels):
        exact = super().compute_log_partition(bornmachine, labels)
        return self.partition(exact) if self.partition else exact


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (Wrong(prob=lambda exact: exact[:, None]), r"log_prob must return shape \(B,\) for B=12 rows, .*\(12, 1\)"),
        (Wrong(prob=lambda exact: exact.mean()), r"log_prob must return shape \(B,\) for B=12 rows, but got \(\)"),
        (Wrong(prob=lambda exact: exact.tolist()), r"log_prob must return a tensor .*got list"),
        (Wrong(prob=lambda exact: exact / 0 * 0), r"log_prob must return finite numbers, but got 12 that are not"),
        (Wrong(partition=lambda exact: exact.expand(5)), r"partition must return shape \(\) or \(B,\).*got \(5,\)"),
        (Wrong(partition=lambda exact: None), "partition must return a tensor .*got NoneType"),
        (Wrong(partition=lambda exact: exact * torch.inf), "partition must return finite .*got 1 that are not"),
    ],
)
def test_what_a_criterion_may_not_return_is_named(criterion, message):
    born = machine()
    found = check_criterion(criterion, born, *rows(born))
    assert found is not None
    assert re.search(message, found)


@pytest.mark.parametrize("partition", [None, lambda exact: exact.expand(12)])
def test_what_a_criterion_may_return_is_not_complained_about(partition):
    born = machine()
    born.cores = Cores(*(core.requires_grad_() for core in born.cores))
    assert check_criterion(Wrong(partition=partition), born, *rows(born)) is None
