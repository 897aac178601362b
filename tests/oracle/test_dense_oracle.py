import numpy as np
import pytest
import tensorkrowch
import torch

from bmtune.born import EMBEDDINGS
from bmtune.born import amplitudes
from bmtune.born import log_partitions
from bmtune.born.cores import tensors_from_cores

EVERY_LENGTH = pytest.mark.parametrize("num_sites", range(1, 10))
EVERY_EMBEDDING = pytest.mark.parametrize("embedding", list(EMBEDDINGS))
DOUBLE = pytest.mark.parametrize("dtype", ["float64", "complex128"])


def rows(born, num_rows=7):
    low, high = born.chain.embedding.interval
    generator = torch.Generator().manual_seed(3)
    return low + (high - low) * torch.rand(num_rows, born.chain.num_sites, dtype=torch.float64, generator=generator)


@EVERY_LENGTH
@EVERY_EMBEDDING
@DOUBLE
def test_amplitudes_equal_the_dense_contraction(pair, num_sites, embedding, dtype):
    born, dense = pair(num_sites, 3, embedding, dtype)
    x = rows(born)
    mantissa, log_scale = amplitudes(born.cores, born.chain.features(x))
    np.testing.assert_allclose((mantissa * log_scale.exp()).numpy(), dense.psi(x.numpy()), rtol=1e-10, atol=1e-12)
    expected = np.log(np.abs(dense.psi(x.numpy())) ** 2).T
    np.testing.assert_allclose(born.log_weights(x).numpy(), expected, rtol=0, atol=1e-9)


@EVERY_LENGTH
@EVERY_EMBEDDING
@DOUBLE
def test_partition_functions_equal_the_dense_norm(pair, num_sites, embedding, dtype):
    born, dense = pair(num_sites, 3, embedding, dtype)
    expected = dense.norms()
    np.testing.assert_allclose(born.log_class_partitions().exp().numpy(), expected, rtol=1e-10)
    assert born.log_partition().item() == pytest.approx(np.log(expected.sum()), rel=1e-10)


@EVERY_LENGTH
@DOUBLE
def test_a_gram_matrix_enters_the_partition_function_at_every_site(pair, num_sites, dtype):
    born, dense = pair(num_sites, 2, "legendre", dtype)
    root = np.linalg.cholesky(np.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.2], [-0.1, 0.2, 0.7]]))
    whole = dense.tensor
    for axis in range(1, num_sites + 1):
        whole = np.moveaxis(np.tensordot(whole, root, (axis, 0)), -1, axis)
    expected = (np.abs(whole) ** 2).reshape(2, -1).sum(1)
    gram = torch.from_numpy(root @ root.T).to(born.chain.dtype)
    np.testing.assert_allclose(log_partitions(born.cores, gram).exp().numpy(), expected, rtol=1e-10)


@EVERY_EMBEDDING
@DOUBLE
@pytest.mark.parametrize("num_sites", [2, 3, 6, 9])
def test_amplitudes_equal_those_of_tensorkrowch(pair, num_sites, embedding, dtype):
    born, _ = pair(num_sites, 3, embedding, dtype)
    layer = tensorkrowch.models.MPSLayer(tensors=[tensor.clone() for tensor in tensors_from_cores(born.cores)])
    x = rows(born)
    features = born.chain.embedding.values(x, 3, -1).to(born.chain.dtype)
    expected = layer(features).detach()
    mantissa, log_scale = amplitudes(born.cores, born.chain.features(x))
    torch.testing.assert_close((mantissa * log_scale.exp()).T, expected, rtol=1e-10, atol=1e-12)


@DOUBLE
@pytest.mark.parametrize("num_sites", [2, 3, 6, 9])
def test_log_z_equals_that_of_tensorkrowch(pair, num_sites, dtype):
    born, _ = pair(num_sites, 3, "legendre", dtype)
    model = tensorkrowch.models.MPS(tensors=[tensor.clone() for tensor in tensors_from_cores(born.cores)])
    assert born.log_partition().item() == pytest.approx(2 * model.norm(log_scale=True).item(), rel=1e-10, abs=1e-10)
