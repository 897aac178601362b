import numpy as np
import pytest
import tensorkrowch
import torch
from numpy.polynomial import legendre as numpy_legendre
from scipy.integrate import quad

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


EXPLICIT = {"fourier": trigonometry, "legendre": polynomials}


def points(name, count=301):
    return torch.linspace(*EMBEDDINGS[name].interval, count, dtype=torch.float64)


@pytest.mark.parametrize("name", ["fourier", "legendre"])
@pytest.mark.parametrize("d", [1, 2, 3, 10, 31])
def test_functions_equal_their_definition(name, d):
    x = points(name)
    found = get_embedding(name).values(x, d, 0)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), EXPLICIT[name](x.numpy(), d), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["fourier", "legendre"])
@pytest.mark.parametrize(("dim", "shape"), [(0, (5, 4, 6)), (1, (4, 5, 6)), (2, (4, 6, 5)), (-1, (4, 6, 5))])
def test_the_new_axis_goes_where_it_is_asked_for(name, dim, shape):
    x = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = get_embedding(name).values(x, 5, dim)
    assert found.shape == shape
    np.testing.assert_allclose(found.movedim(dim, 0).numpy(), EXPLICIT[name](x.numpy(), 5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["fourier", "legendre"])
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


@pytest.mark.parametrize("name", ["fourier", "legendre"])
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


@pytest.mark.parametrize("name", ["fourier", "legendre"])
@pytest.mark.parametrize("d", [1, 10, 128])
def test_what_is_called_orthonormal_has_the_identity_as_gram_matrix(name, d):
    embedding = get_embedding(name)
    assert embedding.orthonormal
    torch.testing.assert_close(embedding.gram(d), torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["fourier", "legendre"])
@pytest.mark.parametrize(("d", "num_bins"), [(3, 7), (30, 4), (128, 4)])
def test_bin_integrals_equal_a_finer_rule(name, d, num_bins):
    embedding = get_embedding(name)
    edges = bin_edges(embedding, num_bins).numpy()
    nodes, weights = np.polynomial.legendre.leggauss(600)
    middle, half = (edges[2] + edges[1]) / 2, (edges[2] - edges[1]) / 2
    phi = EXPLICIT[name](middle + half * nodes, d)
    found = bin_grams(embedding, d, num_bins)
    assert found.shape == (num_bins, d, d)
    np.testing.assert_allclose(found[1].numpy(), half * (phi * weights) @ phi.T, rtol=0, atol=1e-11)


def test_typical_value_of_the_first_function():
    assert get_embedding("fourier").typical_first() == pytest.approx(1, rel=1e-13)
    assert get_embedding("legendre").typical_first() == pytest.approx(np.sqrt(0.5), rel=1e-13)


def test_an_unknown_embedding_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="fourier, legendre.*'hermit'"):
        get_embedding("hermit")
