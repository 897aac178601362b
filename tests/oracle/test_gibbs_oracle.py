import numpy as np
import pytest
import torch
from scipy.stats import kstest

from bmtune.born import BornMachine
from bmtune.born import sampling_grid
from bmtune.born.gibbs import resample
from bmtune.config.born import BornConfig

FALSE_ALARM_RATE = 1e-6
"""Of one Kolmogorov-Smirnov test; there are under 30 here, each on a fixed seed."""

CPU = torch.device("cpu")


def cdf(dense, tensors, end):
    """The share below `end` (S,) of the integral of |sum_p phi_p t_p|^2 summed over all else, for t (S, d, rest)."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = dense.interval

    def mass(stop):
        half = (stop - low)[:, None] / 2
        phi = dense.functions(low + half * (nodes + 1), dense.d)
        return (half * weights * (np.abs(np.einsum("smp,spr->smr", phi, tensors)) ** 2).sum(-1)).sum(1)

    return mass(end) / mass(np.full_like(end, high))


def conditional_cdf(dense, rows, site, end):
    """F(end | all features but that of `site`) under p(x), by quadrature of the dense tensor's density."""
    found = np.broadcast_to(dense.tensor, (len(rows), *dense.tensor.shape))
    for other in range(dense.num_sites - 1, -1, -1):
        if other != site:
            moved = np.moveaxis(found, other + 2, -1)
            found = np.einsum("s...p,sp->s...", moved, dense.functions(rows[:, other], dense.d))
    return cdf(dense, found.transpose(0, 2, 1), end)


def rosenblatt(dense, rows):
    """F(x_i | x_1 .. x_{i-1}) under p(x) of every row and site: independent and uniform just where rows follow p."""
    found, given = [], np.broadcast_to(dense.tensor, (len(rows), *dense.tensor.shape))
    for site in range(dense.num_sites):
        ahead = np.moveaxis(given, 2, 1).reshape(len(rows), dense.d, -1)
        found.append(cdf(dense, ahead, rows[:, site]))
        given = np.einsum("scp...,sp->sc...", given, dense.functions(rows[:, site], dense.d))
    return np.stack(found, 1)


def uniforms(*shape, seed=3):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rows_in(dense, num_rows, seed=5):
    low, high = dense.interval
    return low + (high - low) * uniforms(num_rows, dense.num_sites, seed=seed)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 4, 5])
def test_every_feature_is_the_quantile_of_its_exact_conditional(pair, num_sites, embedding, dtype):
    born, dense = pair(num_sites, 3, embedding, dtype)
    old, drawn = rows_in(dense, 100), uniforms(num_sites, 100)
    new = resample(born.cores, sampling_grid(born.chain, 200, CPU), old, drawn)
    for site in range(num_sites):
        # At its turn a feature sees new values before it and old ones behind it.
        seen = torch.cat((new[:, :site], old[:, site:]), 1).numpy()
        found = conditional_cdf(dense, seen, site, new[:, site].numpy())
        np.testing.assert_allclose(found, drawn[site], rtol=0, atol=3e-4)


@pytest.mark.parametrize("num_sites", [1, 2, 3])
def test_within_bounds_it_is_the_quantile_of_the_conditional_cut_off_there(pair, num_sites):
    born, dense = pair(num_sites, 2)
    old, drawn = rows_in(dense, 100), uniforms(num_sites, 100)
    low, high = (old - 0.2).clamp_min(-1), (old + 0.1).clamp_max(1)
    new = resample(
        born.cores,
        sampling_grid(born.chain, 400, CPU),
        old,
        drawn,
        lambda rows, site: (low[:, site], high[:, site]),
    )
    assert bool(((new >= low) & (new <= high)).all())
    for site in range(num_sites):
        seen = torch.cat((new[:, :site], old[:, site:]), 1).numpy()
        start, stop, found = (conditional_cdf(dense, seen, site, end[:, site].numpy()) for end in (low, high, new))
        np.testing.assert_allclose(found, start + drawn[site].numpy() * (stop - start), rtol=0, atol=3e-4)


def test_the_whole_interval_is_no_bound(pair):
    born, dense = pair(3, 2)
    old, drawn = rows_in(dense, 50), uniforms(3, 50)
    grid = sampling_grid(born.chain, 100, CPU)
    ends = torch.full((50,), -1.0, dtype=torch.float64), torch.full((50,), 1.0, dtype=torch.float64)
    bounded = resample(born.cores, grid, old, drawn, lambda rows, site: ends)
    assert (bounded - resample(born.cores, grid, old, drawn)).abs().max() < 1e-12


def drawn_rows(born, num_rows):
    """Rows of p(x): as many of each class as its share of Z, in expectation."""
    generator = torch.Generator().manual_seed(17)
    shares = born.log_class_partitions().softmax(0)
    labels = torch.multinomial(shares, num_rows, replacement=True, generator=generator)
    return born.sample(num_rows, generator, 400)[torch.arange(num_rows), labels]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("num_sites", [2, 3])
def test_a_sweep_leaves_the_distribution_of_the_model_as_it_is(pair, num_sites, dtype):
    born, dense = pair(num_sites, 2, "legendre", dtype)
    rows = drawn_rows(born, 2000)
    swept = resample(born.cores, sampling_grid(born.chain, 400, CPU), rows, uniforms(num_sites, 2000))
    assert (swept - rows).abs().mean() > 0.1
    for found in (rosenblatt(dense, rows.numpy()), rosenblatt(dense, swept.numpy())):
        for site in range(num_sites):
            assert kstest(found[:, site], "uniform").pvalue > FALSE_ALARM_RATE
        # Of the product of all sites' uniforms: dependence between sites would show here.
        folded = (found.sum(1)) % 1
        assert kstest(folded, "uniform").pvalue > FALSE_ALARM_RATE


def test_the_tester_sees_rows_of_another_distribution(pair):
    _, dense = pair(2, 2)
    rows = rows_in(dense, 2000)
    assert min(kstest(column, "uniform").pvalue for column in rosenblatt(dense, rows.numpy()).T) < FALSE_ALARM_RATE


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("embedding", ["legendre", "fourier"])
def test_long_chains_neither_underflow_nor_leave_the_interval(dtype, embedding):
    born = BornMachine.start(BornConfig(embedding=embedding, physical_dim=3, bond_dim=3, dtype=dtype), 300, 2)
    low, high = born.chain.embedding.interval
    old = low + (high - low) * uniforms(5, 300).float()
    new = resample(born.cores, sampling_grid(born.chain, 20, CPU), old, uniforms(300, 5).float())
    assert bool(new.isfinite().all())
    assert low <= float(new.min()) < float(new.max()) <= high
    assert (new - old).abs().mean() > 0.05


def test_a_feature_whose_density_vanishes_keeps_its_value(pair):
    born, dense = pair(2, 2)
    born.cores = type(born.cores)(*(torch.zeros_like(core) for core in born.cores))
    old = rows_in(dense, 10)
    assert torch.equal(resample(born.cores, sampling_grid(born.chain, 20, CPU), old, uniforms(2, 10)), old)
