import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from bmtune.born import BornMachine
from bmtune.born.cores import cores_from_tensors
from bmtune.config.born import BornConfig

torch.set_num_threads(1)


def trigonometry(x, d):
    columns = [np.ones_like(x)]
    for k in range(1, d):
        turns = 2 * np.pi * ((k + 1) // 2) * x
        columns.append(np.sqrt(2) * (np.cos(turns) if k % 2 else np.sin(turns)))
    return np.stack(columns, -1)


def polynomials(x, d):
    return np.stack([np.sqrt((2 * k + 1) / 2) * legendre.legval(x, np.eye(d)[k]) for k in range(d)], -1)


class Dense:
    """A Born machine as numpy sees it: the full tensor (C, d, .., d) and explicit functions."""

    def __init__(self, tensors, embedding):
        num_sites = len(tensors) - 1
        position = (num_sites + 1) // 2
        whole = tensors[0].numpy()
        for tensor in tensors[1:]:
            whole = np.tensordot(whole, tensor.numpy(), 1)
        self.tensor = np.moveaxis(whole, position, 0)
        self.num_sites, self.d = num_sites, whole.shape[0]
        self.functions = {"fourier": trigonometry, "legendre": polynomials}[embedding]
        self.interval = {"fourier": (0.0, 1.0), "legendre": (-1.0, 1.0)}[embedding]

    def psi(self, x):
        """(C, B) amplitudes of rows (B, N)."""
        phi = self.functions(x, self.d)
        found = np.einsum("cp...,bp->bc...", self.tensor, phi[:, 0])
        for site in range(1, self.num_sites):
            found = np.einsum("bcp...,bp->bc...", found, phi[:, site])
        return found.T

    def quadrature(self, num_nodes):
        """Nodes (M,) and weights (M,) on the interval."""
        nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
        low, high = self.interval
        return low + (nodes + 1) * (high - low) / 2, weights * (high - low) / 2


@pytest.fixture
def pair():
    """A machine with random cores, and the same as a dense tensor built from the tensors in the order of sites."""

    def build(num_sites, num_classes=2, embedding="legendre", dtype="float64", d=3, bond_dim=3, seed=0):
        generator = torch.Generator().manual_seed(seed)
        position, kind = (num_sites + 1) // 2, getattr(torch, dtype)
        sizes = [num_classes if site == position else d for site in range(num_sites + 1)]
        shapes = [(bond_dim, size, bond_dim) for size in sizes]
        shapes[0], shapes[-1] = shapes[0][1:], shapes[-1][:-1]
        tensors = [torch.randn(shape, dtype=kind, generator=generator) / bond_dim**0.5 for shape in shapes]
        config = BornConfig(embedding=embedding, physical_dim=d, bond_dim=bond_dim, dtype=dtype)
        born = BornMachine.start(config, num_sites, num_classes)
        born.cores = cores_from_tensors(tensors)
        return born, Dense(tensors, embedding)

    return build


@pytest.fixture
def dense_of():
    """The dense form of any machine, for densities on a grid."""
    return Dense
