import math

import pytest
import torch

from bmtune.born import EMBEDDINGS
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import amplitudes
from bmtune.born import log_partitions
from bmtune.born import log_weights

CPU = torch.device("cpu")


def in_float64(born):
    chain = born.chain
    wide = torch.complex128 if chain.dtype.is_complex else torch.float64
    same = Chain(chain.embedding, chain.physical_dim, chain.num_sites, chain.num_classes, wide)
    return same, Cores(*(tensor.to(wide) for tensor in born.cores))


@pytest.mark.slow
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize(("init", "std"), [("identity", 1e-2), ("identity", 1e-1), ("normal", 1e-2), ("normal", 1.0)])
def test_784_sites_stay_in_the_range_of_float32(machine, rows, embedding, dtype, init, std):
    born = machine(num_sites=784, embedding=embedding, dtype=dtype, init=init, init_std=std, bond_dim=5)
    x = rows(born, 8)
    chain, cores = in_float64(born)
    expected = log_weights(cores, chain.features(x))
    weights = log_weights(born.cores, born.chain.features(x))
    # Amplitudes near a node of psi lose digits; one part in a thousand of thousands of nats does not.
    torch.testing.assert_close(weights.double(), expected, rtol=1e-3, atol=0.1)
    torch.testing.assert_close(
        log_partitions(born.cores, born.chain.gram(CPU)).double(),
        log_partitions(cores, chain.gram(CPU)),
        rtol=1e-4,
        atol=1e-2,
    )
    leaves = Cores(*(tensor.clone().requires_grad_() for tensor in born.cores))
    slopes = torch.autograd.grad(log_weights(leaves, born.chain.features(x)).sum(), leaves, materialize_grads=True)
    assert all(slope.isfinite().all() for slope in slopes)
    assert all(slope.abs().sum() > 0 for slope in slopes if slope.numel())


@pytest.mark.parametrize("init_std", [1e-9, 1e-6, 1e-4, 10.0])
@pytest.mark.parametrize("num_sites", [15, 16, 40])
def test_a_normal_start_of_any_spread_stays_in_the_range_of_float32(machine, rows, init_std, num_sites):
    born = machine(num_sites=num_sites, dtype="float32", init="normal", init_std=init_std)
    weights = born.log_weights(rows(born, 20))
    assert weights.isfinite().all()
    chain, cores = in_float64(born)
    torch.testing.assert_close(
        weights.T.double(), log_weights(cores, chain.features(rows(born, 20))), rtol=1e-3, atol=0.1
    )


def test_amplitudes_out_of_range_are_carried_in_the_scale(machine, rows):
    born = machine(num_sites=400, init="normal", init_std=1e-2)
    mantissa, log_scale = amplitudes(born.cores, born.chain.features(rows(born, 5)))
    assert mantissa.shape == (2, 5)
    assert (log_scale < -745).all()
    assert mantissa.abs().min() > 1e-60
    assert math.isfinite(born.log_partition().item())


def images(embedding, num_sites):
    """Rows as pictures give them: all dark, all bright, and dark with some bright sites and some between."""
    low, high = embedding.data_interval
    share = torch.rand(4, num_sites, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.where(share > 0.8, (share - 0.8) * 5, 0.0)
    share[0], share[1] = 0.0, 1.0
    return low + (high - low) * share


@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("physical_dim", [2, 10])
@pytest.mark.parametrize("init_std", [1e-9, 1e-2])
@pytest.mark.parametrize("num_sites", [9, 16, 17, 33, 196])
def test_pictures_stay_in_the_range_of_float32_from_the_identity_start(
    machine, embedding, physical_dim, init_std, num_sites
):
    # Seen: hermite functions are 1e-3 at a dark pixel, and the product of both halves left the range of float32.
    born = machine(
        num_sites=num_sites, embedding=embedding, dtype="float32", physical_dim=physical_dim, init_std=init_std
    )
    x = images(born.chain.embedding, num_sites)
    leaves = Cores(*(tensor.clone().requires_grad_() for tensor in born.cores))
    weights = log_weights(leaves, born.chain.features(x))
    assert weights.isfinite().all()
    slopes = torch.autograd.grad(weights.sum(), leaves, materialize_grads=True)
    assert all(slope.isfinite().all() for slope in slopes)
    chain, cores = in_float64(born)
    expected = log_weights(cores, chain.features(x))
    torch.testing.assert_close(weights.detach().double(), expected, rtol=1e-3, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("physical_dim", [2, 3])
@pytest.mark.parametrize("init", ["identity", "normal"])
def test_whole_pictures_of_784_pixels_stay_in_the_range_of_float32(machine, embedding, physical_dim, init):
    born = machine(num_sites=784, embedding=embedding, dtype="float32", physical_dim=physical_dim, init=init)
    leaves = Cores(*(tensor.clone().requires_grad_() for tensor in born.cores))
    weights = log_weights(leaves, born.chain.features(images(born.chain.embedding, 784)))
    partitions = log_partitions(leaves, born.chain.gram(CPU))
    slopes = torch.autograd.grad(weights.sum() + partitions.sum(), leaves, materialize_grads=True)
    assert weights.isfinite().all()
    assert partitions.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)
