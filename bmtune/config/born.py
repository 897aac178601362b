"""Configuration of a Born machine: embedding, shape, start and number type."""

from typing import Annotated
from typing import Literal

from pydantic import Field

from bmtune.config.base import Config
from bmtune.config.base import Lane

EmbeddingName = Literal["fourier", "legendre", "hermite", "chebyshev1", "chebyshev2"]
InitName = Literal["identity", "normal"]
DtypeName = Literal["float32", "float64", "complex64", "complex128"]


class BornConfig(Config):
    """The network that is trained."""

    embedding: EmbeddingName = "legendre"
    """The functions that lift a feature to a vector."""
    physical_dim: Annotated[int, Lane()] = Field(10, ge=2, le=128)
    """Number of embedding functions a feature, d."""
    bond_dim: Annotated[int, Lane()] = Field(6, ge=1, le=4096)
    """Dimension of every inner bond, D."""
    init: Annotated[InitName, Lane()] = "identity"
    """Start of the cores: identity plus noise, or noise alone."""
    init_std: Annotated[float, Lane()] = Field(1e-2, ge=0, le=10)
    """Standard deviation of the noise in the start."""
    dtype: DtypeName = "float32"
    """Number type of the cores."""
