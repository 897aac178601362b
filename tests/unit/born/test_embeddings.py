import numpy as np
import pytest
import tensorkrowch
import torch
from numpy.polynomial import legendre as numpy_legendre
from scipy.integrate import quad
from scipy.special import eval_chebyu
from scipy.special import eval_hermite
from scipy.special import factorial

from bmtune.born import EMBEDDINGS
from bmtune.born import get_embedding
from bmtune.born.embeddings import bin_edges
from bmtune.born.embeddings import bin_grams


def trigonometry(x, d):
    columns = [np.ones_like(x)]
    for k in range(1, d):
        turns = 2 * np.pi * ((k + 1) // 2) * x
        columns.append(np.sqrt(2) * (np.cos(turns) if k % 2 else np.sin(turns)))
    return np.stack(columns)


def polynomials(x, d):
    return np.stack([np.sqrt((2 * k + 1) / 2) * numpy_legendre.legval(x, np.eye(d)[k]) for k in range(d)])


def hermite_functions(x, d):
    columns = [np.pi**-0.25 * np.exp(-(x**2) / 2)]
    for k in range(1, d):
        # Written with the functions themselves: the polynomials and factorials leave float64 long before d = 128.
        behind = columns[k - 2] * np.sqrt((k - 1) / k) if k > 1 else 0
        columns.append(x * columns[k - 1] * np.sqrt(2 / k) - behind)
    return np.stack(columns)


def first_kind(x, d):
    scale = np.sqrt(np.where(np.arange(d) == 0, 1, 2) / np.pi)
    return np.stack([scale[k] * np.cos(k * np.arccos(x)) * (1 - x**2) ** -0.25 for k in range(d)])


def second_kind(x, d):
    return np.stack([eval_chebyu(k, x) * (1 - x**2) ** 0.25 * np.sqrt(2 / np.pi) for k in range(d)])


EXPLICIT = {
    "fourier": trigonometry,
    "legendre": polynomials,
    "hermite": hermite_functions,
    "chebyshev1": first_kind,
    "chebyshev2": second_kind,
}
EVERY = pytest.mark.parametrize("name", list(EXPLICIT))


def points(name, count=301):
    return torch.linspace(*EMBEDDINGS[name].interval, count, dtype=torch.float64)


@EVERY
@pytest.mark.parametrize("d", [1, 2, 3, 10, 31])
def test_functions_equal_their_definition(name, d):
    x = points(name)
    if name == "chebyshev2":
        x = x[1:-1]
    found = get_embedding(name).values(x, d, 0)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), EXPLICIT[name](x.numpy(), d), rtol=0, atol=1e-11)


@EVERY
@pytest.mark.parametrize(("dim", "shape"), [(0, (5, 4, 6)), (1, (4, 5, 6)), (2, (4, 6, 5)), (-1, (4, 6, 5))])
def test_the_new_axis_goes_where_it_is_asked_for(name, dim, shape):
    x = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = get_embedding(name).values(x, 5, dim)
    assert found.shape == shape
    np.testing.assert_allclose(found.movedim(dim, 0).numpy(), EXPLICIT[name](x.numpy(), 5), rtol=0, atol=1e-12)


@EVERY
def test_float32_stays_float32_and_close(name):
    x = points(name)
    found = get_embedding(name).values(x.float(), 20, 0)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), EXPLICIT[name](x.numpy(), 20), rtol=0, atol=2e-4)


def test_fourier_is_the_family_of_tensorkrowch():
    x = points("fourier")
    torch.testing.assert_close(
        get_embedding("fourier").values(x, 9, -1), tensorkrowch.embeddings.fourier(x, dim=9), rtol=0, atol=1e-12
    )


@EVERY
def test_gram_matrix_equals_quadrature(name):
    embedding, d = get_embedding(name), 5
    low, high = embedding.interval
    expected = np.array(
        [
            [
                quad(lambda x, p=p, q=q: np.prod(EXPLICIT[name](np.array(x), d)[[p, q]]), low, high, epsabs=1e-12)[0]
                for q in range(d)
            ]
            for p in range(d)
        ]
    )
    np.testing.assert_allclose(embedding.gram(d).numpy(), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["fourier", "legendre", "chebyshev2"])
@pytest.mark.parametrize("d", [1, 10, 128])
def test_what_is_called_orthonormal_has_the_identity_as_gram_matrix(name, d):
    embedding = get_embedding(name)
    assert embedding.orthonormal
    torch.testing.assert_close(embedding.gram(d), torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-11)


@EVERY
@pytest.mark.parametrize(("d", "num_bins"), [(3, 7), (30, 4), (128, 4)])
def test_bin_integrals_equal_a_finer_rule(name, d, num_bins):
    embedding = get_embedding(name)
    edges = bin_edges(embedding, num_bins).numpy()
    nodes, weights = np.polynomial.legendre.leggauss(600)
    middle, half = (edges[2] + edges[1]) / 2, (edges[2] - edges[1]) / 2
    # Inner bins: the weights of the chebyshev functions are smooth there.
    phi = EXPLICIT[name](middle + half * nodes, d)
    found = bin_grams(embedding, d, num_bins)
    assert found.shape == (num_bins, d, d)
    np.testing.assert_allclose(found[1].numpy(), half * (phi * weights) @ phi.T, rtol=0, atol=1e-11)


def test_hermite_functions_are_those_of_the_polynomials():
    x = points("hermite")
    explicit = [
        eval_hermite(k, x.numpy()) * np.exp(-(x.numpy() ** 2) / 2) / np.sqrt(np.sqrt(np.pi) * 2.0**k * factorial(k))
        for k in range(12)
    ]
    np.testing.assert_allclose(get_embedding("hermite").values(x, 12, 0).numpy(), explicit, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "far"), [("hermite", 1e-6), ("chebyshev1", 1e-2)])
@pytest.mark.parametrize("d", [3, 10])
def test_what_is_cut_off_is_not_called_orthonormal(name, far, d):
    embedding = get_embedding(name)
    gram = embedding.gram(d)
    assert not embedding.orthonormal
    assert (gram - torch.eye(d, dtype=torch.float64)).abs().max() > far
    assert torch.linalg.eigvalsh(gram)[0] > 0


@EVERY
@pytest.mark.parametrize("num_bins", [4, 33, 200])
@pytest.mark.parametrize("d", [2, 30])
def test_the_bins_add_up_to_the_whole(name, d, num_bins):
    embedding = get_embedding(name)
    torch.testing.assert_close(bin_grams(embedding, d, num_bins).sum(0), embedding.gram(d), rtol=0, atol=1e-11)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_slopes_are_finite_at_the_ends(name, dtype):
    embedding = get_embedding(name)
    ends = (*embedding.interval, *embedding.data_interval)
    x = torch.tensor(ends, dtype=dtype, requires_grad=True)
    phi = embedding.values(x, 10, 0)
    (slope,) = torch.autograd.grad(phi.sum(), x)
    assert phi.isfinite().all()
    assert slope.isfinite().all()


@EVERY
def test_rows_are_kept_where_the_functions_do_not_all_vanish(name):
    embedding = get_embedding(name)
    (low, high), (lowest, highest) = embedding.interval, embedding.data_interval
    assert low <= lowest < highest <= high
    assert highest - lowest >= 0.98 * (high - low)
    ends = torch.tensor([lowest, highest], dtype=torch.float64)
    # Hermite functions are small there, but not in comparison with float32.
    assert embedding.values(ends, 2, 0).norm(dim=0).min() > 1e-3


def test_typical_value_of_the_first_function():
    assert get_embedding("fourier").typical_first() == pytest.approx(1, rel=1e-13)
    assert get_embedding("legendre").typical_first() == pytest.approx(np.sqrt(0.5), rel=1e-13)


def test_an_unknown_embedding_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="fourier, legendre.*'hermit'"):
        get_embedding("hermit")
