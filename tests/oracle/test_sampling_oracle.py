import numpy as np
import pytest
import torch
from scipy.stats import kstest

from bmtune.born import EMBEDDINGS
from bmtune.born import sample
from bmtune.born import sampling_grid

FALSE_ALARM_RATE = 1e-6
"""Of one Kolmogorov-Smirnov test; there are under 100 here, each on a fixed seed."""


CPU = torch.device("cpu")


def conditional_cdfs(dense, drawn, label):
    """F(x_i | x_1 .. x_{i-1}, c) of every sample and site, (S, N), by quadrature of the dense tensor's density."""
    num_samples = len(drawn)
    given = np.broadcast_to(dense.tensor[label], (num_samples, *dense.tensor.shape[1:]))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = dense.interval
    found, overlaps = [], dense.overlaps()
    for site in range(dense.num_sites):
        rest = seen = given.reshape(num_samples, dense.d, *[dense.d] * (dense.num_sites - site - 1))
        for axis in range(2, rest.ndim):
            seen = np.moveaxis(np.tensordot(seen, overlaps, (axis, 0)), -1, axis)
        rho = np.einsum("spr,sqr->spq", *(each.reshape(num_samples, dense.d, -1) for each in (seen, rest.conj()))).real

        def mass_up_to(end, rho=rho):
            # In t with x = middle + radius sin(t), in which the chebyshev functions are smooth.
            middle, radius = (low + high) / 2, (high - low) / 2
            last = np.arcsin(np.clip((end - middle) / radius, -1, 1))
            half = (last + np.pi / 2)[:, None] / 2
            angle = half * (nodes + 1) - np.pi / 2
            half = half * radius * np.cos(angle)
            phi = dense.functions(middle + radius * np.sin(angle), dense.d)
            density = np.einsum("smp,spq,smq->sm", phi, rho, phi)
            return (half * weights * density).sum(1)

        x = drawn[:, site]
        found.append(mass_up_to(x) / mass_up_to(np.full_like(x, high)))
        given = np.einsum("sp...,sp->s...", given, dense.functions(x, dense.d))
    return np.stack(found, 1)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("num_sites", [1, 2, 3, 5])
def test_samples_follow_the_exact_conditional_distributions(pair, num_sites, embedding, dtype):
    born, dense = pair(num_sites, 2, embedding, dtype)
    # The densities of the chebyshev functions bend sharply in the last bins: a root at the end, a pole behind it.
    within = {"fourier": 1e-4, "legendre": 1e-4, "hermite": 1e-4, "chebyshev1": 5e-3, "chebyshev2": 1e-3}
    uniforms = torch.rand(num_sites, 2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    drawn = sample(born.cores, sampling_grid(born.chain, 200, CPU), born.chain.gram(CPU), uniforms).numpy()
    assert dense.interval[0] <= drawn.min() < drawn.max() <= dense.interval[1]
    for label in range(2):
        cdf = conditional_cdfs(dense, drawn[:, label], label)
        for site in range(num_sites):
            assert kstest(cdf[:, site], "uniform").pvalue > FALSE_ALARM_RATE
        # Stronger: a sample is the quantile at its uniform, up to the curvature of the density inside one bin.
        np.testing.assert_allclose(cdf, uniforms[:, label].T.numpy(), rtol=0, atol=within[embedding])


@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
def test_more_bins_bring_samples_to_the_exact_quantiles_with_the_third_power(pair, embedding):
    born, dense = pair(2, 1, embedding)
    uniforms = torch.rand(2, 1, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    errors = []
    for num_bins in (50, 100, 200):
        drawn = sample(born.cores, sampling_grid(born.chain, num_bins, torch.device("cpu")), None, uniforms).numpy()
        errors.append(np.abs(conditional_cdfs(dense, drawn[:, 0], 0) - uniforms[:, 0].T.numpy()).mean())
    # Linear interpolation of the density errs by the bin width squared, over a mass of one bin width.
    assert errors[0] / errors[1] > 6
    assert errors[1] / errors[2] > 6


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_samples_follow_the_same_distributions(pair, dtype):
    born, dense = pair(3, 2, dtype=dtype)
    uniforms = torch.rand(3, 2, 1000, generator=torch.Generator().manual_seed(11))
    drawn = sample(born.cores, sampling_grid(born.chain, 200, torch.device("cpu")), None, uniforms).double().numpy()
    for label in range(2):
        np.testing.assert_allclose(conditional_cdfs(dense, drawn[:, label], label), uniforms[:, label].T, atol=3e-4)


def test_the_tester_sees_a_shift_of_half_a_bin(pair):
    born, dense = pair(1, 1)
    uniforms = torch.rand(1, 1, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    drawn = sample(born.cores, sampling_grid(born.chain, 200, torch.device("cpu")), None, uniforms).numpy()
    shifted = np.clip(drawn[:, 0] + 0.005, -1, 1)
    assert np.abs(conditional_cdfs(dense, shifted, 0) - uniforms[:, 0].T.numpy()).max() > 1e-3
