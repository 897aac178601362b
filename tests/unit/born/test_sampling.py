import pytest
import torch

from bmtune.born import EMBEDDINGS
from bmtune.born import sample
from bmtune.born import sampling_grid
from bmtune.born.embeddings import bin_grams

CPU = torch.device("cpu")


def draw(born, uniforms, num_bins=50):
    return sample(born.cores, sampling_grid(born.chain, num_bins, CPU), born.chain.gram(CPU), uniforms)


def uniforms(born, num_samples, seed=0):
    shape = (born.chain.num_sites, born.chain.num_classes, num_samples)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=born.chain.real_dtype)


@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 4, 5])
def test_samples_lie_in_the_interval(machine, embedding, dtype, num_sites):
    born = machine(num_sites=num_sites, num_classes=3, embedding=embedding, dtype=dtype, init_std=1.0)
    given = uniforms(born, 300)
    given[..., 0], given[..., 1] = 0.0, 1 - torch.finfo(given.dtype).eps / 2
    drawn = draw(born, given)
    low, high = born.chain.embedding.interval
    assert drawn.shape == (300, 3, num_sites)
    assert not drawn.is_complex()
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert (drawn[0] == low).all()
    # A Hermite density falls to 1e-7 of its height at the ends: so far float32 knows the quantile of 1 - 6e-8.
    assert (drawn[1] >= high - 0.03 * (high - low)).all()


@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 6])
@pytest.mark.parametrize("num_bins", [4, 33, 200])
def test_a_uniform_density_gives_the_uniforms_scaled_to_the_interval(machine, embedding, dtype, num_sites, num_bins):
    born = machine(num_sites=num_sites, embedding=embedding, dtype=dtype, init_std=0)
    given, step = uniforms(born, 200), torch.finfo(born.chain.real_dtype).eps
    ends = torch.tensor([0.0, step, 0.25, 0.5, 0.75, 1 - step, 1 - step / 2], dtype=given.dtype)
    given[..., : len(ends)] = ends
    low, high = born.chain.embedding.interval
    drawn = draw(born, given, num_bins)
    expected = low + given.permute(2, 1, 0) * (high - low)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=20 * step)
    assert (drawn[0] == low).all()


def test_samples_increase_with_their_uniform(machine):
    born = machine(num_sites=1, init_std=1.0)
    given = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1].expand(1, 2, -1)
    assert (draw(born, given).diff(dim=0) >= 0).all()


def test_a_feature_depends_on_the_uniforms_of_its_own_and_earlier_sites_only(machine):
    born = machine(num_sites=5, init_std=1.0)
    given = uniforms(born, 30)
    changed = given.clone()
    changed[2] = 1 - changed[2]
    before, after = draw(born, given), draw(born, changed)
    assert torch.equal(before[..., :2], after[..., :2])
    for site in (2, 3, 4):
        assert not torch.equal(before[..., site], after[..., site])


def test_each_class_follows_its_own_uniforms_and_its_own_density(machine):
    born = machine(num_sites=4, num_classes=3, init_std=1.0)
    given = uniforms(born, 30)
    changed = given.clone()
    changed[:, 1] = 1 - changed[:, 1]
    before, after = draw(born, given), draw(born, changed)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.equal(before[:, 1], after[:, 1])
    same = draw(born, given[:, :1].expand(-1, 3, -1))
    assert not torch.allclose(same[:, 0], same[:, 1])
    other = born.cores._replace(centre=torch.stack((born.cores.centre[0], *born.cores.centre[1:] * 2.5)))
    grid = sampling_grid(born.chain, 50, CPU)
    torch.testing.assert_close(sample(other, grid, None, given), before, rtol=0, atol=1e-9)


def test_a_sample_depends_on_no_other_sample(machine):
    born = machine(num_sites=4, init_std=1.0)
    given = uniforms(born, 30)
    torch.testing.assert_close(draw(born, given[..., 7:9]), draw(born, given)[7:9], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_density_with_a_gap_is_not_sampled_in_it(machine, dtype):
    # psi = x on [-1, 1]: the density 3 x^2 / 2 vanishes in the middle; the quantile is a cube root.
    born = machine(num_sites=1, num_classes=1, bond_dim=1, dtype=dtype, init_std=0)
    edge = torch.zeros_like(born.cores.edge)
    edge[0, 0, 1] = 1
    born.cores = born.cores._replace(edge=edge)
    given = uniforms(born, 500)
    expected = (2 * given[0, 0] - 1).sign() * (2 * given[0, 0] - 1).abs().pow(1 / 3)
    # Only inside the middle bins is the density far from linear: the error is under a bin, 2 / 200.
    error = (draw(born, given, 200)[:, 0, 0] - expected).abs()
    assert error.max() < 0.01
    assert error.median() < 1e-5


def test_an_error_far_in_the_tails_gives_no_number_that_is_not_finite(machine):
    born = machine(
        num_sites=2, num_classes=2, dtype="float32", physical_dim=12, bond_dim=6, init="normal", init_std=0.1
    )
    leaves = born.cores._replace(edge=born.cores.edge.clone().requires_grad_())
    given = uniforms(born, 2000)
    drawn = sample(leaves, sampling_grid(born.chain, 200, CPU), None, given)
    (slope,) = torch.autograd.grad(drawn.square().mean(), leaves.edge)
    assert drawn.isfinite().all()
    assert slope.isfinite().all()
    assert slope.abs().sum() > 0


@pytest.mark.parametrize("init_std", [1e-2, 1e-5, 1e-8])
def test_the_scale_of_the_cores_does_not_move_samples(machine, init_std):
    large, small = (
        machine(num_sites=3, dtype="float32", init="normal", init_std=std, bond_dim=4) for std in (1.0, init_std)
    )
    given = uniforms(large, 400)
    torch.testing.assert_close(draw(small, given), draw(large, given), rtol=0, atol=2e-3)


def test_the_grid_is_in_the_real_type_and_is_made_once(machine):
    chain = machine(dtype="complex64").chain
    grid = sampling_grid(chain, 10, CPU)
    assert grid is sampling_grid(chain, 10, CPU)
    assert grid.edges.dtype == grid.fold.dtype == grid.bins.dtype == grid.cumulative.dtype == torch.float32
    assert grid.edges.shape == (11,)
    # Four polynomials have 16 products, which are combinations of 2 * 4 - 1 polynomials.
    assert grid.fold.shape == (16, 7)
    assert grid.cumulative.shape == (7, 11)
    assert grid.bins.shape == (10, 4, 7)
    assert torch.equal(grid.cumulative[:, 0], torch.zeros(7))
    torch.testing.assert_close((grid.fold @ grid.cumulative[:, -1]).reshape(4, 4), torch.eye(4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("physical_dim", [2, 3, 10, 30])
def test_the_folded_grid_holds_the_products_of_the_functions(machine, embedding, physical_dim):
    chain = machine(dtype="float64", embedding=embedding, physical_dim=physical_dim).chain
    grid = sampling_grid(chain, 50, CPU)
    # An even number of Fourier functions ends with a cosine whose sine is missing: one product more.
    assert grid.fold.shape[1] <= 2 * physical_dim
    phi = chain.embedding.values(grid.edges, physical_dim, -1)
    products = (phi[:, :, None] * phi[:, None, :]).flatten(1)
    scale = products.abs().max()
    torch.testing.assert_close(grid.bins[:, 2] @ grid.fold.T, products[:-1], rtol=0, atol=1e-9 * scale)
    torch.testing.assert_close(grid.bins[:, 3] @ grid.fold.T, products[1:], rtol=0, atol=1e-9 * scale)
    masses = bin_grams(chain.embedding, physical_dim, 50).flatten(1)
    torch.testing.assert_close(grid.bins[:, 1] @ grid.fold.T, masses, rtol=0, atol=1e-9 * masses.abs().max())
