"""A Born machine: one set of cores that classifies and generates."""

from typing import Literal

import tensorkrowch
import torch
from torch import Tensor

from bmtune.born.contraction import log_partitions
from bmtune.born.contraction import log_weights
from bmtune.born.cores import Chain
from bmtune.born.cores import Cores
from bmtune.born.cores import cores_from_tensors
from bmtune.born.cores import start_cores
from bmtune.born.cores import tensors_from_cores
from bmtune.born.sampling import sample
from bmtune.born.sampling import sampling_grid
from bmtune.config.born import BornConfig


class BornMachine:
    """A matrix-product-state Born machine: p(x, c) = |psi_c(x)|^2 / Z.

    The classifier and the generator read the same cores: there is nothing to synchronise.

    Args:
        chain: Embedding and shape.
        cores: The trained tensors.
    """

    def __init__(self, chain: Chain, cores: Cores) -> None:
        self.chain = chain
        self.cores = cores

    @classmethod
    def start(cls, config: BornConfig, num_sites: int, num_classes: int, seed: int = 0) -> "BornMachine":
        """An untrained machine for data of this shape."""
        chain = Chain.from_config(config, num_sites, num_classes)
        return cls(chain, start_cores(chain, config, seed))

    def log_weights(self, x: Tensor) -> Tensor:
        """log |psi_c(x)|^2, (B, C), of rows x (B, N) in the embedding's interval."""
        return log_weights(self.cores, self.chain.features(x)).T

    def log_partition(self) -> Tensor:
        """log Z, shape ()."""
        return self.log_class_partitions().logsumexp(0)

    def log_class_partitions(self) -> Tensor:
        """log Z_c, (C,): the integral of |psi_c|^2 over the interval to the power N."""
        return log_partitions(self.cores, self.chain.gram(self.cores.edge.device))

    def log_class_probabilities(self, x: Tensor) -> Tensor:
        """log p(c|x), (B, C)."""
        return self.log_weights(x).log_softmax(1)

    def class_probabilities(self, x: Tensor) -> Tensor:
        """p(c|x), (B, C)."""
        return self.log_class_probabilities(x).exp()

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, c), (B, C), in nats, as a density over interval coordinates."""
        return self.log_weights(x) - self.log_partition()

    def log_marginal(self, x: Tensor) -> Tensor:
        """log p(x), (B,)."""
        return self.log_joint(x).logsumexp(1)

    def log_conditional(self, x: Tensor) -> Tensor:
        """log p(x|c), (B, C)."""
        return self.log_weights(x) - self.log_class_partitions()

    def sample(self, num_per_class: int, generator: torch.Generator, num_bins: int = 200) -> Tensor:
        """Rows drawn from p(x|c), (num_per_class, C, N), differentiable in the cores."""
        edge = self.cores.edge
        shape = (self.chain.num_sites, self.chain.num_classes, num_per_class)
        uniforms = torch.rand(shape, generator=generator, dtype=self.chain.real_dtype).to(edge.device)
        grid = sampling_grid(self.chain, num_bins, edge.device)
        return sample(self.cores, grid, self.chain.gram(edge.device), uniforms)

    def to_tensorkrowch(self, kind: Literal["MPSLayer", "MPS"] = "MPSLayer") -> tensorkrowch.models.MPS:
        """The same network as a tensorkrowch model with N + 1 sites, the class site at floor((N + 1) / 2)."""
        tensors = [tensor.detach().clone() for tensor in tensors_from_cores(self.cores)]
        model = getattr(tensorkrowch.models, kind)(tensors=tensors)
        assert isinstance(model, tensorkrowch.models.MPS)
        return model

    @classmethod
    def from_tensorkrowch(cls, model: tensorkrowch.models.MPS, config: BornConfig) -> "BornMachine":
        """The network of a tensorkrowch model, read through the embedding of `config`.

        Args:
            model: `MPSLayer`, or `MPS` with the class site at floor((N + 1) / 2); open boundary.
            config: Its embedding and dtype are used; the shapes are the model's.

        Raises:
            ValueError: The boundary is periodic, the class site is elsewhere, the physical dimension is another one,
                or a complex model would lose its imaginary part.
        """
        tensors = [tensor.detach().clone() for tensor in model.tensors]
        position, expected = getattr(model, "out_position", len(tensors) // 2), len(tensors) // 2
        if model.boundary != "obc" or position != expected:
            raise ValueError(
                f"a Born machine has an open boundary and its class site at {expected}, but got a tensorkrowch model "
                f"with boundary {model.boundary!r} and out_position {position}; build it with boundary='obc', "
                f"out_position={expected}"
            )
        sizes = {tensor.shape[i > 0] for i, tensor in enumerate(tensors) if i != expected}
        if sizes != {config.physical_dim}:
            raise ValueError(
                f"physical_dim must be the model's at every feature site, but got physical_dim={config.physical_dim} "
                f"for a model of {', '.join(map(str, sorted(sizes)))}; set it in the BornConfig"
            )
        cores = cores_from_tensors(tensors)
        chain = Chain.from_config(config, len(tensors) - 1, cores.centre.shape[0])
        if cores.edge.is_complex() and not chain.dtype.is_complex:
            raise ValueError(
                f"dtype must be complex for a complex model, but got dtype={config.dtype}; set complex64 or complex128 "
                "in the BornConfig"
            )
        return cls(chain, Cores(*(tensor.to(chain.dtype) for tensor in cores)))
