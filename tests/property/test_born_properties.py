import math

import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.born import sample
from bmtune.born import sampling_grid
from bmtune.config.born import BornConfig

torch.set_num_threads(1)

machines = st.builds(
    lambda num_sites, num_classes, seed, **fields: BornMachine.start(
        BornConfig(**fields), num_sites, num_classes, seed
    ),
    num_sites=st.integers(1, 12),
    num_classes=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    embedding=st.sampled_from(["fourier", "legendre"]),
    physical_dim=st.integers(2, 6),
    bond_dim=st.integers(1, 5),
    init=st.sampled_from(["identity", "normal"]),
    init_std=st.sampled_from([1e-6, 1e-2, 1.0]),
    dtype=st.sampled_from(["float64", "complex128"]),
)
quick = settings(max_examples=25, deadline=None, derandomize=True)


def rows(born, num_rows, seed):
    low, high = born.chain.embedding.interval
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(num_rows, born.chain.num_sites, dtype=torch.float64, generator=generator)


@quick
@given(machines, st.integers(0, 2**32))
def test_class_probabilities_sum_to_one_and_agree_with_the_joint(born, seed):
    x = rows(born, 9, seed)
    given_x = born.class_probabilities(x)
    assert (given_x.sum(1) - 1).abs().max() < 1e-12
    through_joint = (born.log_joint(x) - born.log_marginal(x)[:, None]).exp()
    assert (given_x - through_joint).abs().max() < 1e-10


@quick
@given(machines, st.floats(1e-3, 1e3), st.integers(0, 2**32))
def test_a_scale_of_all_cores_moves_log_z_only(born, scale, seed):
    scaled = BornMachine(born.chain, Cores(*(scale * tensor for tensor in born.cores)))
    shift = 2 * (born.chain.num_sites + 1) * math.log(scale)
    assert abs(scaled.log_partition() - born.log_partition() - shift) < 1e-9
    x = rows(born, 9, seed)
    assert (scaled.log_joint(x) - born.log_joint(x)).abs().max() < 1e-7


@quick
@given(machines, st.integers(0, 2**32))
def test_no_joint_density_exceeds_the_norm_of_the_features(born, seed):
    x = rows(born, 50, seed)
    phi = born.chain.embedding.values(x, born.chain.physical_dim, -1)
    bound = phi.square().sum(-1).log().sum(-1)
    assert (born.log_joint(x) <= bound[:, None] + 1e-9).all()


@quick
@given(machines, st.integers(2, 60), st.integers(0, 2**32))
def test_samples_are_finite_and_inside_whatever_the_machine(born, num_bins, seed):
    uniforms = torch.rand(
        (born.chain.num_sites, born.chain.num_classes, 20),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(seed),
    )
    leaves = Cores(*(tensor.clone().requires_grad_() for tensor in born.cores))
    drawn = sample(leaves, sampling_grid(born.chain, num_bins, torch.device("cpu")), None, uniforms)
    low, high = born.chain.embedding.interval
    assert drawn.shape == (20, born.chain.num_classes, born.chain.num_sites)
    assert ((drawn >= low) & (drawn <= high)).all()
    slopes = torch.autograd.grad(drawn.sum(), leaves, materialize_grads=True)
    assert all(slope.isfinite().all() for slope in slopes)
