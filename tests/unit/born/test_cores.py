import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import cores as module
from bmtune.born import start_cores
from bmtune.born.cores import class_core_size
from bmtune.born.cores import contraction_order
from bmtune.born.cores import cores_from_tensors
from bmtune.born.cores import tensors_from_cores
from bmtune.config.born import BornConfig


@pytest.mark.parametrize("num_sites", range(1, 10))
def test_shapes_and_order_of_the_chain(machine, num_sites):
    born = machine(num_sites=num_sites, num_classes=5)
    odd, steps = int(num_sites % 2 and num_sites > 1), max(num_sites // 2 - 1, 0)
    assert born.cores.edge.shape == (min(num_sites, 2), 3, 4)
    assert born.cores.odd.shape == (odd, 3, 4, 3)
    assert born.cores.bulk.shape == (steps, 2, 3, 4, 3)
    assert born.cores.centre.shape == (5, 3, 3 if num_sites > 1 else 1)
    assert sorted(contraction_order(num_sites)) == list(range(num_sites))
    assert born.cores.bond_dim == 3


@pytest.mark.parametrize("num_sites", range(1, 10))
def test_tensors_in_the_order_of_sites_give_the_same_cores_back(machine, num_sites):
    cores = machine(num_sites=num_sites, dtype="complex128").cores
    for found, expected in zip(cores_from_tensors(tensors_from_cores(cores)), cores, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("init", ["identity", "normal"])
def test_the_start_has_the_type_and_the_spread_asked_for(dtype, init):
    config = BornConfig(dtype=dtype, init=init, init_std=0.05, physical_dim=6, bond_dim=8)
    born = BornMachine.start(config, 11, 3)
    assert {tensor.dtype for tensor in born.cores} == {getattr(torch, dtype)}
    # Physical indices from 1 hold noise only, whatever the start; 8 * 8 * 5 * 8 numbers: 6 sigma are 9 %.
    assert born.cores.bulk[..., 1:, :].std().item() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("init", ["identity", "normal"])
def test_the_start_depends_on_the_seed_only_and_leaves_the_global_generator_alone(machine, init):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = machine(init=init, seed=1).cores
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    again, other = machine(init=init, seed=1).cores, machine(init=init, seed=2).cores
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first.edge, other.edge)
    assert not torch.equal(first.centre, other.centre)


@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 8, 9, 20])
def test_an_identity_start_without_noise_knows_nothing(machine, rows, embedding, dtype, num_sites):
    born = machine(num_sites=num_sites, num_classes=5, embedding=embedding, dtype=dtype, init_std=0)
    weights = born.log_weights(rows(born, 30))
    assert torch.equal(weights, weights[:, :1].expand(-1, 5))
    tight = {"rtol": 0, "atol": 1e-5 if dtype in ("float32", "complex64") else 1e-13}
    torch.testing.assert_close(weights, torch.zeros_like(weights), **tight)
    probabilities = born.class_probabilities(rows(born, 30))
    torch.testing.assert_close(probabilities, torch.full_like(probabilities, 0.2), **tight)


@pytest.mark.parametrize(
    ("num_sites", "size"), [(1, 1.0), (3, 1.0), (8, 1.0), (9, 8 / 9), (16, 0.5), (20, 0.4), (784, 8 / 784)]
)
def test_the_class_core_of_a_long_chain_is_small(machine, num_sites, size):
    assert class_core_size(num_sites) == size
    cores = machine(num_sites=num_sites, init_std=0, dtype="float64").cores
    eye = torch.eye(*cores.centre.shape[1:], dtype=torch.float64)
    torch.testing.assert_close(cores.centre, (size * eye).expand_as(cores.centre), rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("num_sites", [3, 20])
def test_the_size_of_the_class_core_changes_no_amplitude_and_no_class(machine, rows, monkeypatch, num_sites, dtype):
    options = {"num_sites": num_sites, "num_classes": 5, "dtype": dtype}
    noisy, silent = machine(**options, init_std=0.1), machine(**options, init_std=0)
    x, tight = rows(noisy, 30), {"rtol": 0, "atol": 1e-13}
    uniform = silent.class_probabilities(x)
    torch.testing.assert_close(uniform, torch.full_like(uniform, 0.2), **tight)
    torch.testing.assert_close(silent.log_weights(x), torch.zeros_like(uniform), **tight)
    # With noise as well: as if the class core had the size of the others.
    monkeypatch.setattr(module, "class_core_size", lambda _: 1.0)
    even = machine(**options, init_std=0.1)
    assert torch.equal(even.cores.centre, noisy.cores.centre) == (num_sites == 3)
    torch.testing.assert_close(noisy.log_weights(x), even.log_weights(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(noisy.class_probabilities(x), even.class_probabilities(x), rtol=0, atol=1e-12)
    assert noisy.class_probabilities(x).std(0).max() > 1e-3


@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
def test_a_noisy_identity_start_has_amplitudes_of_about_one(machine, rows, embedding):
    born = machine(num_sites=64, embedding=embedding, init_std=1e-2, physical_dim=10, bond_dim=6)
    # Not a statistical claim: 64 steps of relative noise near .05 move log |psi|^2 by less than 3.
    assert born.log_weights(rows(born, 50)).abs().max() < 3


@pytest.mark.parametrize("num_sites", [1, 2, 3, 6, 7])
def test_noise_is_independent_of_the_start_it_is_added_to(num_sites):
    normal, identity = (BornConfig(init=init, init_std=0.2, dtype="float64") for init in ("normal", "identity"))
    chain = Chain.from_config(normal, num_sites, 3)
    noise, both = start_cores(chain, normal, 4), start_cores(chain, identity, 4)
    added = Cores(*(x - y for x, y in zip(both, noise, strict=True)))
    for tensor in (added.odd, added.bulk):
        assert torch.count_nonzero(tensor[..., 1:, :].abs() > 1e-12) == 0
    assert torch.count_nonzero(added.edge.abs() > 1e-12) == min(num_sites, 2)


def test_features_are_embedded_in_the_order_of_contraction(machine, rows):
    born = machine(num_sites=7, dtype="complex64")
    x = rows(born, 11)
    phi = born.chain.features(x)
    assert phi.shape == (7, 4, 11)
    assert phi.dtype == torch.complex64
    for place, site in enumerate(contraction_order(7)):
        expected = born.chain.embedding.values(x[:, site], 4, 0)
        torch.testing.assert_close(phi[place].real.double(), expected, rtol=0, atol=1e-6)
