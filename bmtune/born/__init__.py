"""The mathematics of matrix-product-state Born machines."""

from bmtune.born.contraction import amplitudes
from bmtune.born.contraction import log_partitions
from bmtune.born.contraction import log_weights
from bmtune.born.cores import Chain
from bmtune.born.cores import Cores
from bmtune.born.cores import start_cores
from bmtune.born.embeddings import EMBEDDINGS
from bmtune.born.embeddings import Embedding
from bmtune.born.embeddings import get_embedding
from bmtune.born.machine import BornMachine
from bmtune.born.pullback import amplitudes_and_pull
from bmtune.born.sampling import Grid
from bmtune.born.sampling import sample
from bmtune.born.sampling import sampling_grid

__all__ = [
    "EMBEDDINGS",
    "BornMachine",
    "Chain",
    "Cores",
    "Embedding",
    "Grid",
    "amplitudes",
    "amplitudes_and_pull",
    "get_embedding",
    "log_partitions",
    "log_weights",
    "sample",
    "sampling_grid",
    "start_cores",
]
