"""Embeddings: functions that lift a feature to a vector of length d.

Notation: `N` sites, `d` physical dimension, `B` rows; phi_k(x), k = 0 .. d-1.

An embedding lives on its interval and carries its Gram matrix G = integral of phi phi^T over
that interval, which log Z and every marginal need: p integrates to 1 only through G.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from math import pi
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

Functions = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class Embedding:
    """A family of functions on an interval.

    Attributes:
        name: What configurations call it.
        interval: Lowest and highest feature value; densities integrate to 1 over it.
        margin: Share of the interval's half-length that rows keep away from its ends.
        values: `values(x, d, dim)` is x with a new axis `dim` of length d that holds phi_0(x) .. phi_{d-1}(x).
        orthonormal: Whether the Gram matrix is the identity.
    """

    name: str
    interval: tuple[float, float]
    values: Functions
    orthonormal: bool
    margin: float = 0.0

    @property
    def data_interval(self) -> tuple[float, float]:
        """Where rows are scaled to. An embedding that vanishes at an end would give rows there the density 0."""
        low, high = self.interval
        inset = self.margin * (high - low) / 2
        return low + inset, high - inset

    def gram(self, physical_dim: int) -> Float[Tensor, "d d"]:
        """The Gram matrix over the interval, float64."""
        return bin_grams(self, physical_dim, 64).sum(0)

    def typical_first(self) -> float:
        """Root mean square of phi_0 over the interval."""
        low, high = self.interval
        return sqrt(float(self.gram(1)[0, 0]) / (high - low))


@lru_cache(maxsize=64)
def _fourier_constants(d: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    k = torch.arange(d, dtype=torch.float64)
    frequency = 2 * pi * torch.ceil(k / 2)
    # A sine is a cosine a quarter turn later: all components take one kernel.
    shift = torch.full_like(k, -pi / 2).masked_fill(k % 2 == 1, 0.0)
    scale = torch.full_like(k, sqrt(2.0))
    shift[0], scale[0] = 0.0, 1.0
    return tuple(t.to(dtype=dtype, device=device) for t in (frequency, shift, scale))  # type: ignore[return-value]


def fourier(x: Tensor, physical_dim: int, dim: int) -> Tensor:
    """The functions 1, sqrt2 cos 2 pi x, sqrt2 sin 2 pi x, sqrt2 cos 4 pi x, ... on [0, 1]."""
    frequency, shift, scale = _fourier_constants(physical_dim, x.dtype, x.device)
    expanded = x.unsqueeze(dim)
    trailing = (physical_dim,) + (1,) * (expanded.ndim - 1 - dim % expanded.ndim)
    phase = torch.addcmul(shift.view(trailing), frequency.view(trailing), expanded)
    return torch.cos(phase) * scale.view(trailing)


def legendre(x: Tensor, physical_dim: int, dim: int) -> Tensor:
    """The functions sqrt((2k+1)/2) P_k(x) on [-1, 1], by the recurrence of orthonormal polynomials.

    With p_k = sqrt((2k+1)/2) P_k, Bonnet's (k+1) P_{k+1} = (2k+1) x P_k - k P_{k-1} becomes
    p_{k+1} = a_k x p_k - b_k p_{k-1}; see https://dlmf.nist.gov/18.9.
    """
    values = [torch.full_like(x, sqrt(0.5)), sqrt(1.5) * x][:physical_dim]
    for k in range(1, physical_dim - 1):
        ahead = sqrt((2 * k + 3) * (2 * k + 1)) / (k + 1)
        behind = k / (k + 1) * sqrt((2 * k + 3) / (2 * k - 1))
        values.append(torch.addcmul(values[-2] * -behind, x, values[-1], value=ahead))
    return torch.stack(values, dim)


def hermite(x: Tensor, physical_dim: int, dim: int) -> Tensor:
    """The Hermite functions H_k(x) exp(-x^2 / 2) / sqrt(sqrt(pi) 2^k k!), by their recurrence (https://dlmf.nist.gov/18.9)."""
    first = pi**-0.25 * torch.exp(-x.square() / 2)
    values = [first, sqrt(2.0) * x * first][:physical_dim]
    for k in range(1, physical_dim - 1):
        values.append(torch.addcmul(values[-2] * -sqrt(k / (k + 1)), x, values[-1], value=sqrt(2 / (k + 1))))
    return torch.stack(values, dim)


def chebyshev1(x: Tensor, physical_dim: int, dim: int) -> Tensor:
    """The functions T_k(x) (1 - x^2)^(-1/4) times 1/sqrt(pi) for k = 0 and sqrt(2/pi) else."""
    weight = (1 - x.square()).pow(-0.25)
    values = [weight / sqrt(pi), sqrt(2 / pi) * x * weight][:physical_dim]
    for k in range(1, physical_dim - 1):
        # T_0 is normalised differently from the others: the recurrence meets it once.
        values.append(torch.addcmul(values[-2] * (-sqrt(2.0) if k == 1 else -1.0), x, values[-1], value=2))
    return torch.stack(values, dim)


def chebyshev2(x: Tensor, physical_dim: int, dim: int) -> Tensor:
    """The functions U_k(x) (1 - x^2)^(1/4) sqrt(2/pi); all vanish at the ends of [-1, 1]."""
    # The root has an infinite slope at the ends themselves: there it is held, and the gradient is 0.
    inside = (1 - x.square()).clamp_min(torch.finfo(x.dtype).tiny)
    first = sqrt(2 / pi) * inside.pow(0.25)
    values = [first, 2 * x * first][:physical_dim]
    for _ in range(1, physical_dim - 1):
        values.append(torch.addcmul(-values[-2], x, values[-1], value=2))
    return torch.stack(values, dim)


EMBEDDINGS = {
    "fourier": Embedding("fourier", (0.0, 1.0), fourier, orthonormal=True),
    "legendre": Embedding("legendre", (-1.0, 1.0), legendre, orthonormal=True),
    "hermite": Embedding("hermite", (-4.0, 4.0), hermite, orthonormal=False),
    "chebyshev1": Embedding("chebyshev1", (-0.99, 0.99), chebyshev1, orthonormal=False),
    "chebyshev2": Embedding("chebyshev2", (-1.0, 1.0), chebyshev2, orthonormal=True, margin=0.01),
}


def get_embedding(name: str) -> Embedding:
    """The embedding called `name`.

    Raises:
        ValueError: No embedding has that name.
    """
    if name not in EMBEDDINGS:
        raise ValueError(f"an embedding must be one of {', '.join(EMBEDDINGS)}, but got {name!r}")
    return EMBEDDINGS[name]


def bin_edges(embedding: Embedding, num_bins: int) -> Float[Tensor, " edges"]:
    """The `num_bins + 1` equally spaced edges that cut the interval into bins, float64."""
    low, high = embedding.interval
    return torch.linspace(low, high, num_bins + 1, dtype=torch.float64)


def bin_grams(embedding: Embedding, physical_dim: int, num_bins: int) -> Float[Tensor, "bins d d"]:
    """The integral of phi phi^T over each bin, float64, by Gauss-Legendre quadrature.

    A product of two functions turns at most 2d times over the interval; the number of nodes
    grows with the turns a bin, so that the rule is exact to rounding. It integrates over t in
    x = middle + half sin(t), in which the square roots of the chebyshev weights are smooth.
    """
    num_nodes = 16 + 8 * ceil(physical_dim / num_bins)
    nodes, weights = _gauss_legendre(num_nodes)
    low, high = embedding.interval
    middle, half = (low + high) / 2, (high - low) / 2
    edges = torch.asin(torch.linspace(-1, 1, num_bins + 1, dtype=torch.float64))
    width = (edges[1:] - edges[:-1])[:, None] / 2
    angle = (edges[1:] + edges[:-1])[:, None] / 2 + width * nodes
    phi = embedding.values(middle + half * torch.sin(angle), physical_dim, -1)
    return torch.einsum("mn,mnp,mnq->mpq", half * torch.cos(angle) * width * weights, phi, phi)


@lru_cache(maxsize=16)
def _gauss_legendre(num_nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [-1, 1] as eigenpairs of the Jacobi matrix (Golub and Welsch 1969)."""
    k = torch.arange(1, num_nodes, dtype=torch.float64)
    off = k / torch.sqrt(4 * k * k - 1)
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return nodes, 2 * vectors[0] ** 2
