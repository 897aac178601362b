import numpy as np
import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.born import log_partitions
from bmtune.born import log_weights
from bmtune.born import sample
from bmtune.born import sampling_grid
from bmtune.config.born import BornConfig

DOUBLE = pytest.mark.parametrize("dtype", ["float64", "complex128"])
CPU = torch.device("cpu")


def leaves_of(born):
    return Cores(*(tensor.clone().requires_grad_() for tensor in born.cores))


def rows(born, num_rows):
    low, high = born.chain.embedding.interval
    generator = torch.Generator().manual_seed(3)
    return low + (high - low) * torch.rand(num_rows, born.chain.num_sites, dtype=torch.float64, generator=generator)


def full(leaves):
    # gradcheck accepts no empty input.
    return [tensor for tensor in leaves if tensor.numel()]


def rebuilt(leaves, given):
    parts = iter(given)
    return Cores(*(next(parts) if tensor.numel() else tensor for tensor in leaves))


@DOUBLE
@pytest.mark.parametrize("num_sites", [1, 2, 3, 4, 7])
def test_gradient_of_log_weights(pair, num_sites, dtype):
    born, _ = pair(num_sites, 2, dtype=dtype, d=2, bond_dim=2)
    phi, leaves = born.chain.features(rows(born, 3)), leaves_of(born)
    assert torch.autograd.gradcheck(lambda *given: log_weights(rebuilt(leaves, given), phi), full(leaves))


@DOUBLE
def test_gradient_of_log_weights_through_rescalings(pair, dtype):
    born, _ = pair(3, 2, dtype=dtype, d=2, bond_dim=2)
    # 20 steps: rescaled after 8 and 16. Only the last core is checked: the check is slow.
    steps = torch.randn(20, 2, 2, 2, 2, dtype=born.chain.dtype, generator=torch.Generator().manual_seed(1))
    phi = torch.randn(43, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(born.chain.dtype)
    edge, place = born.cores.edge.clone().requires_grad_(), steps[3].clone().requires_grad_()

    def weights(edge, place):
        bulk = torch.cat((steps[:3], place[None], steps[4:]))
        return log_weights(born.cores._replace(edge=edge, bulk=bulk), phi)

    assert torch.autograd.gradcheck(weights, [edge, place])


@DOUBLE
@pytest.mark.parametrize("with_gram", [False, True])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 4, 7])
def test_gradient_of_log_partitions(pair, num_sites, dtype, with_gram):
    born, _ = pair(num_sites, 2, dtype=dtype, d=2, bond_dim=2)
    leaves = leaves_of(born)
    gram = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=born.chain.dtype) if with_gram else None
    assert torch.autograd.gradcheck(lambda *given: log_partitions(rebuilt(leaves, given), gram), full(leaves))


@DOUBLE
@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 5])
def test_gradient_of_a_sample_mean_equals_differences_with_common_uniforms(pair, num_sites, dtype, embedding):
    born, _ = pair(num_sites, 2, embedding, dtype)
    grid, generator = sampling_grid(born.chain, 50, CPU), torch.Generator().manual_seed(7)
    uniforms = torch.rand(num_sites, 2, 40, dtype=torch.float64, generator=generator)
    weights = torch.randn(num_sites, dtype=torch.float64, generator=generator)
    along = Cores(*(torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in born.cores))

    def mean(cores):
        drawn = sample(cores, grid, None, uniforms)
        return (torch.sin(3 * drawn) @ weights).mean() + drawn.prod(-1).mean()

    leaves = leaves_of(born)
    slopes = torch.autograd.grad(mean(leaves), leaves, materialize_grads=True)
    found = sum((slope.conj() * step).sum().real for slope, step in zip(slopes, along, strict=True)).item()
    size = 1e-7
    ahead, behind = (
        mean(Cores(*(t + sign * size * step for t, step in zip(born.cores, along, strict=True)))) for sign in (1, -1)
    )
    assert found == pytest.approx((ahead - behind).item() / (2 * size), rel=1e-5, abs=1e-8)
    assert abs(found) > 1e-4


@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
def test_gradient_of_a_sample_mean_is_that_of_the_expectation(pair, embedding):
    # A density without zeros: next to one, few samples carry most of the gradient.
    born, dense = pair(1, 1, embedding)
    born = BornMachine.start(BornConfig(embedding=embedding, physical_dim=3, init_std=0.1, dtype="float64"), 1, 1)
    # Equally spaced uniforms make the sample mean a quadrature of the quantile function.
    uniforms = (torch.arange(20_000, dtype=torch.float64) + 0.5)[None, None] / 20_000
    leaves = leaves_of(born)
    drawn = sample(leaves, sampling_grid(born.chain, 400, CPU), None, uniforms)
    slopes = torch.autograd.grad(drawn.square().mean(), (leaves.edge, leaves.centre))
    nodes, weights = (torch.from_numpy(array) for array in dense.quadrature(100))
    density = log_weights(leaves, born.chain.features(nodes[:, None]))[0].exp() * weights
    expectation = (density * nodes.square()).sum() / density.sum()
    assert drawn.square().mean().item() == pytest.approx(expectation.item(), abs=1e-5)
    for found, expected in zip(slopes, torch.autograd.grad(expectation, (leaves.edge, leaves.centre)), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=2e-4 * expected.abs().max().item())
