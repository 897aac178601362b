"""The cores of a Born machine, the chain they belong to, and how they start.

Notation: `N` feature sites, `d` physical dimension, `D` bond dimension, `C` classes, `B` rows.

The class core sits after site h = floor((N + 1) / 2). Both halves of the chain are contracted
from their outer end towards it, as one batch of two; that is why cores are kept in the order of
contraction and not of sites, each as (out, physical, in): one step is one matrix product.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import tensorkrowch
import torch
from torch import Tensor

from bmtune.born.embeddings import Embedding
from bmtune.born.embeddings import get_embedding
from bmtune.config.born import BornConfig


class Cores(NamedTuple):
    """All trained tensors of a Born machine.

    The left half has one core more than the right one if N is odd: `odd`, applied next to the
    left edge. For N = 1 there is no right half and the class core has no right bond.
    """

    edge: Tensor  # (min(N, 2), D, d): first and last site
    odd: Tensor  # (N odd and > 1 ? 1 : 0, D, d, D)
    bulk: Tensor  # (steps, 2, D, d, D): one core of each half a step
    centre: Tensor  # (C, D, D), or (C, D, 1) for N = 1

    @property
    def bond_dim(self) -> int:
        """The bond dimension D."""
        return self.edge.shape[1]


@dataclass(frozen=True)
class Chain:
    """What is fixed about a Born machine: its embedding and its shape.

    Attributes:
        embedding: How features become vectors.
        physical_dim: Functions a feature, d.
        num_sites: Features, N.
        num_classes: Classes, C.
        dtype: Number type of the cores.
    """

    embedding: Embedding
    physical_dim: int
    num_sites: int
    num_classes: int
    dtype: torch.dtype

    @classmethod
    def from_config(cls, config: BornConfig, num_sites: int, num_classes: int) -> "Chain":
        """The chain that `config` describes, for data of this shape."""
        dtype: torch.dtype = getattr(torch, config.dtype)
        return cls(get_embedding(config.embedding), config.physical_dim, num_sites, num_classes, dtype)

    @property
    def real_dtype(self) -> torch.dtype:
        """Number type of features, samples and logarithms."""
        return self.dtype.to_real() if self.dtype.is_complex else self.dtype

    @property
    def num_left(self) -> int:
        """Sites left of the class core, floor((N + 1) / 2)."""
        return (self.num_sites + 1) // 2

    @property
    def num_steps(self) -> int:
        """Steps in which both halves advance together."""
        return max(self.num_sites // 2 - 1, 0)

    def features(self, x: Tensor) -> Tensor:
        """The embedded rows, in the order of contraction.

        Args:
            x: (B, N) rows, in the embedding's interval.

        Returns:
            (N, d, B) tensor of the cores' type.
        """
        ordered = x.to(self.real_dtype).T
        if self.num_sites > 2:
            ordered = ordered[_order(self.num_sites, x.device)]
        phi = self.embedding.values(ordered, self.physical_dim, 1)
        return phi.to(self.dtype) if self.dtype.is_complex else phi

    def gram(self, device: torch.device) -> Tensor | None:
        """The (d, d) Gram matrix of the cores' type, or None where it is the identity."""
        if self.embedding.orthonormal:
            return None
        return self.embedding.gram(self.physical_dim).to(dtype=self.dtype, device=device)


def contraction_order(num_sites: int) -> list[int]:
    """The sites in the order of contraction: edges, the odd one, then left and right in turn."""
    last, odd = num_sites - 1, num_sites % 2
    if last == 0:
        return [0]
    num_steps = num_sites // 2 - 1
    inner = [site for step in range(num_steps) for site in (1 + odd + step, last - 1 - step)]
    return [0, last, *([1] if odd else []), *inner]


@lru_cache(maxsize=64)
def _order(num_sites: int, device: torch.device) -> Tensor:
    return torch.tensor(contraction_order(num_sites), device=device)


def start_cores(chain: Chain, config: BornConfig, seed: int) -> Cores:
    """The cores that training starts from.

    `normal` is Gaussian noise of standard deviation `init_std`; `identity` adds the identity at
    physical index 0 (Stoudenmire and Schwab 2016, arXiv 1605.05775). Both are drawn by tensorkrowch. An
    identity start is divided by the typical phi_0, so that |psi| is about 1 whatever the embedding. In a long
    chain its class core is small: see `class_core_size`.

    Args:
        chain: The shape.
        config: Start, noise and bond dimension.
        seed: Seed of the noise; the global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of all devices as well.
        torch.default_generator.manual_seed(seed)
        layer = tensorkrowch.models.MPSLayer(
            n_features=chain.num_sites + 1,
            in_dim=chain.physical_dim,
            out_dim=chain.num_classes,
            bond_dim=config.bond_dim,
            dtype=chain.dtype,
            # Tensorkrowch refuses a standard deviation of 0: noise is drawn at 1 and scaled.
            init_method="randn",
            std=1.0,
        )
    cores = cores_from_tensors([tensor.detach() * config.init_std for tensor in layer.tensors])
    if config.init == "normal":
        return cores
    started = _plus_identity(cores, 1 / chain.embedding.typical_first(), config.bond_dim)
    size = class_core_size(chain.num_sites)
    return started._replace(edge=started.edge / sqrt(size), centre=started.centre * size)


LONG_CHAIN = 8
"""Sites up to which the class core of an identity start has the size of the others."""


def class_core_size(num_sites: int) -> float:
    """The size of the class core in an identity start; the edges make up for it, so no amplitude changes.

    An optimizer that moves every number by about its learning rate moves a chain of N cores by N times that, and the
    class core once: in a long chain all classes drift together long before they differ. p(c|x) does not depend on
    the class core's size, but how fast the classes come apart does; a size that falls as 1/N keeps pace.
    """
    return min(1.0, LONG_CHAIN / num_sites)


def _plus_identity(cores: Cores, scale: float, bond_dim: int) -> Cores:
    """The cores plus the identity at physical index 0, divided by phi_0; the class core plus the identity."""
    eye = torch.eye(bond_dim, dtype=cores.edge.dtype)
    edge, odd, bulk, centre = (tensor.clone() for tensor in cores)
    edge[:, 0, 0] += scale
    odd[..., 0, :] += scale * eye
    bulk[..., 0, :] += scale * eye
    centre += eye[:, : centre.shape[-1]]
    return Cores(edge, odd, bulk, centre)


def cores_from_tensors(tensors: list[Tensor]) -> Cores:
    """Cores from N + 1 tensors in the order of sites, the class tensor among them.

    Args:
        tensors: First (d, right), inner (left, d, right), class (left, C, right) at position
            floor((N + 1) / 2), last (left, d); for N = 1 the class tensor is (left, C).
            Bonds may differ: they are zero-padded to the largest.
    """
    num_sites = len(tensors) - 1
    position = (num_sites + 1) // 2
    bond_dim = max(size for tensor in tensors for size in _bonds(tensor, tensors))
    # As (out, physical, in): to the left of the class core "out" is the right bond.
    left = [_pad_out(_left_core(tensor, first=i == 0), bond_dim) for i, tensor in enumerate(tensors[:position])]
    right = [_pad_out(tensor if tensor.ndim == 3 else tensor[..., None], bond_dim) for tensor in tensors[:position:-1]]
    centre = tensors[position] if num_sites > 1 else tensors[position][..., None]
    padded_centre = centre.new_zeros(centre.shape[1], bond_dim, bond_dim if num_sites > 1 else 1)
    padded_centre[:, : centre.shape[0], : centre.shape[2]] = centre.movedim(1, 0)
    edge = torch.stack([half[0][..., 0] for half in (left, right) if half])
    physical_dim = edge.shape[-1]
    odd = left[1:2] if num_sites % 2 and num_sites > 1 else []
    # Padded before they are stacked: the halves need not have equal bonds.
    steps = [
        torch.stack([_pad_in(core, bond_dim) for core in pair])
        for pair in zip(left[1 + len(odd) :], right[1:], strict=True)
    ]
    inner = (bond_dim, physical_dim, bond_dim)
    return Cores(
        edge,
        _stack([_pad_in(core, bond_dim) for core in odd], edge.new_zeros(0, *inner)),
        _stack(steps, edge.new_zeros(0, 2, *inner)),
        padded_centre,
    )


def tensors_from_cores(cores: Cores) -> list[Tensor]:
    """The N + 1 tensors in the order of sites: the inverse of `cores_from_tensors`."""
    left = [core.permute(2, 1, 0) for core in (*cores.odd, *cores.bulk[:, 0])]
    right = [core for core in cores.bulk[:, 1].flip(0)]
    class_core = cores.centre.movedim(0, 1)
    if len(cores.edge) == 1:
        return [cores.edge[0].T, class_core[..., 0]]
    return [cores.edge[0].T, *left, class_core, *right, cores.edge[1]]


def _bonds(tensor: Tensor, tensors: list[Tensor]) -> tuple[int, ...]:
    if tensor is tensors[0]:
        return (tensor.shape[1],)
    return (tensor.shape[0],) if tensor.ndim == 2 else (tensor.shape[0], tensor.shape[2])


def _left_core(tensor: Tensor, *, first: bool) -> Tensor:
    return tensor.T[..., None] if first else tensor.permute(2, 1, 0)


def _pad_out(core: Tensor, bond_dim: int) -> Tensor:
    padded = core.new_zeros(bond_dim, *core.shape[1:])
    padded[: core.shape[0]] = core
    return padded


def _pad_in(core: Tensor, bond_dim: int) -> Tensor:
    return torch.nn.functional.pad(core, (0, bond_dim - core.shape[-1]))


def _stack(tensors: list[Tensor], empty: Tensor) -> Tensor:
    return torch.stack(tensors) if tensors else empty
