import math

import pytest
import torch

from bmtune.born import EMBEDDINGS
from bmtune.born import BornMachine
from bmtune.born import Cores

EVERY_TYPE = pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
EVERY_EMBEDDING = pytest.mark.parametrize("embedding", list(EMBEDDINGS))
EVERY_LENGTH = pytest.mark.parametrize("num_sites", [1, 2, 3, 6, 9])


def tolerance(dtype):
    return {"rtol": 0, "atol": 1e-10 if dtype in ("float64", "complex128") else 2e-4}


@EVERY_TYPE
@EVERY_EMBEDDING
@EVERY_LENGTH
def test_classifier_and_generator_views_agree(machine, rows, dtype, embedding, num_sites):
    born = machine(num_sites=num_sites, num_classes=3, dtype=dtype, embedding=embedding)
    x, close = rows(born, 20), tolerance(dtype)
    given_x = born.class_probabilities(x)
    assert given_x.shape == (20, 3)
    assert not given_x.is_complex()
    torch.testing.assert_close(given_x.sum(1), torch.ones_like(given_x[:, 0]), **close)
    through_joint = (born.log_joint(x) - born.log_marginal(x)[:, None]).exp()
    torch.testing.assert_close(given_x, through_joint, **close)
    torch.testing.assert_close(born.log_class_probabilities(x).exp(), given_x, **close)


@EVERY_TYPE
@EVERY_EMBEDDING
@EVERY_LENGTH
def test_joint_is_class_share_times_conditional(machine, rows, dtype, embedding, num_sites):
    born = machine(num_sites=num_sites, num_classes=3, dtype=dtype, embedding=embedding)
    x = rows(born, 20)
    log_share = born.log_class_partitions() - born.log_partition()
    assert log_share.exp().sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(born.log_conditional(x) + log_share, born.log_joint(x), **tolerance(dtype))


@EVERY_EMBEDDING
@EVERY_LENGTH
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_scaling_every_core_moves_log_z_and_no_density(machine, rows, dtype, embedding, num_sites):
    born, scale = machine(num_sites=num_sites, dtype=dtype, embedding=embedding), 0.37
    scaled = BornMachine(born.chain, Cores(*(scale * tensor for tensor in born.cores)))
    shift = 2 * (num_sites + 1) * math.log(scale)
    torch.testing.assert_close(
        scaled.log_class_partitions(), born.log_class_partitions() + shift, rtol=1e-12, atol=1e-10
    )
    x = rows(born, 10)
    torch.testing.assert_close(scaled.log_joint(x), born.log_joint(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(scaled.log_class_probabilities(x), born.log_class_probabilities(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("embedding", [name for name, found in EMBEDDINGS.items() if found.orthonormal])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("num_sites", [1, 2, 5])
def test_no_density_exceeds_its_bound(machine, rows, dtype, embedding, num_sites):
    born = machine(num_sites=num_sites, dtype=dtype, embedding=embedding, init_std=1.0)
    x = rows(born, 500)
    phi = born.chain.embedding.values(x, 4, -1)
    # Cauchy and Schwarz: |psi_c(x)|^2 <= Z prod_i |phi(x_i)|^2 for orthonormal phi.
    at_row = phi.square().sum(-1).log().sum(-1)
    ends = torch.linspace(*born.chain.embedding.interval, 1001, dtype=torch.float64)
    highest = born.chain.embedding.values(ends, 4, -1).square().sum(-1).max().log()
    joint = born.log_joint(x)
    assert (joint <= at_row[:, None] + 1e-9).all()
    assert (joint <= num_sites * highest + 1e-9).all()
    assert joint.max() > num_sites * highest - 25


@EVERY_TYPE
def test_samples_have_the_real_type_of_the_cores_and_follow_the_generator(machine, dtype):
    born = machine(num_sites=3, num_classes=2, dtype=dtype)
    first, again, other = (born.sample(40, torch.Generator().manual_seed(seed), num_bins=20) for seed in (1, 1, 2))
    assert first.shape == (40, 2, 3)
    assert first.dtype == born.chain.real_dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
