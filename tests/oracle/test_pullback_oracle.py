import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.born import amplitudes
from bmtune.born import amplitudes_and_pull
from bmtune.born import log_weights
from bmtune.config.born import BornConfig
from bmtune.objectives import brier
from bmtune.objectives import brier_and_slope
from bmtune.objectives import class_nll
from bmtune.objectives import class_nll_and_slope

LOSSES = pytest.mark.parametrize(("loss", "by_hand"), [(class_nll, class_nll_and_slope), (brier, brier_and_slope)])
DOUBLE = pytest.mark.parametrize("dtype", ["float64", "complex128"])
SITES = pytest.mark.parametrize("num_sites", [1, 2, 3, 4, 5, 9, 30])


def machine(num_sites, dtype, seed=1):
    shape = {"embedding": "legendre", "physical_dim": 3, "bond_dim": 4, "init": "normal", "init_std": 0.5}
    return BornMachine.start(BornConfig(dtype=dtype, **shape), num_sites, 3, seed=seed)


def rows(num_sites, seed=0):
    x = torch.rand(7, num_sites, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return x, torch.arange(7) % 3


def recorded(loss, cores, phi, labels):
    leaves = Cores(*(core.clone().requires_grad_() for core in cores))
    value = loss(log_weights(leaves, phi), labels)
    return value.detach(), torch.autograd.grad(value, [leaf for leaf in leaves if leaf.numel()])


def by_hand_of(by_hand, cores, phi, labels):
    mantissa, _, pull = amplitudes_and_pull(cores, phi)
    value, slope = by_hand(mantissa, labels)
    return value, [found for found in pull(slope) if found.numel()]


@LOSSES
@DOUBLE
@SITES
def test_slopes_by_hand_are_those_of_automatic_differentiation(loss, by_hand, dtype, num_sites):
    born, (x, labels) = machine(num_sites, dtype), rows(num_sites)
    phi = born.chain.features(x)
    expected, slopes = recorded(loss, born.cores, phi, labels)
    value, found = by_hand_of(by_hand, born.cores, phi, labels)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    assert len(found) == len(slopes) > 0
    for one, other in zip(found, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12 * float(other.abs().max()))


@DOUBLE
@SITES
def test_amplitudes_are_those_of_the_contraction(dtype, num_sites):
    born, (x, _) = machine(num_sites, dtype), rows(num_sites)
    phi = born.chain.features(x)
    expected, expected_scale = amplitudes(born.cores, phi)
    mantissa, log_scale, _ = amplitudes_and_pull(born.cores, phi)
    ours = mantissa.abs().log() + log_scale
    torch.testing.assert_close(ours, expected.abs().log() + expected_scale, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(mantissa / mantissa.abs(), expected / expected.abs(), rtol=1e-9, atol=1e-9)


@LOSSES
@DOUBLE
@pytest.mark.parametrize("num_sites", [1, 2, 3, 9])
def test_a_leading_axis_of_trials_gives_each_its_own_slopes(loss, by_hand, dtype, num_sites):
    trials = [(machine(num_sites, dtype, seed), *rows(num_sites, seed)) for seed in range(3)]
    cores = Cores(*(torch.stack(column) for column in zip(*(born.cores for born, _, _ in trials), strict=True)))
    phi = torch.stack([born.chain.features(x) for born, x, _ in trials])
    values, stacked = by_hand_of(by_hand, cores, phi, torch.stack([labels for _, _, labels in trials]))
    for index, (born, x, labels) in enumerate(trials):
        expected, slopes = recorded(loss, born.cores, born.chain.features(x), labels)
        torch.testing.assert_close(values[index], expected, rtol=1e-12, atol=1e-12)
        for one, other in zip(stacked, slopes, strict=True):
            torch.testing.assert_close(one[index], other, rtol=1e-11, atol=1e-12 * float(other.abs().max()))


@LOSSES
@SITES
def test_slopes_do_not_depend_on_how_cores_lie_in_memory(loss, by_hand, num_sites):
    born, (x, labels) = machine(num_sites, "float64"), rows(num_sites)
    phi = born.chain.features(x)
    scattered = Cores(*(core.transpose(-1, -2).contiguous().transpose(-1, -2) for core in born.cores))
    _, slopes = recorded(loss, born.cores, phi, labels)
    # As training rows are taken from a table: row by row.
    strided = phi.movedim(-1, 0).contiguous().movedim(0, -1)
    _, found = by_hand_of(by_hand, scattered, strided, labels)
    for one, other in zip(found, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12 * float(other.abs().max()))


@LOSSES
def test_a_class_of_amplitude_zero_has_no_slope(loss, by_hand):
    born, (x, labels) = machine(4, "float64"), rows(4)
    centre = born.cores.centre.clone()
    centre[2] = 0
    cores, kept = born.cores._replace(centre=centre), labels != 2
    phi = born.chain.features(x[kept])
    _, slopes = recorded(loss, cores, phi, labels[kept])
    _, found = by_hand_of(by_hand, cores, phi, labels[kept])
    for one, other in zip(found, slopes, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    assert not found[-1][2].any()


@pytest.mark.parametrize("num_sites", [2, 3, 9])
def test_the_slopes_of_a_site_are_one_piece_of_memory_for_all_trials(num_sites):
    trials = [(machine(num_sites, "float64", seed), *rows(num_sites, seed)) for seed in range(3)]
    cores = Cores(*(torch.stack(column) for column in zip(*(born.cores for born, _, _ in trials), strict=True)))
    mantissa, _, pull = amplitudes_and_pull(cores, torch.stack([born.chain.features(x) for born, x, _ in trials]))
    found = pull(torch.ones_like(mantissa))
    pairs = [pair for step in found.bulk.unbind(-5) for pair in step.unbind(-4)]
    sites = [*found.edge.unbind(-3), *found.odd.unbind(-4), *pairs]
    assert len(sites) == num_sites
    assert all(site.is_contiguous() for site in sites)
