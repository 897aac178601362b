"""Checkpoints: tensors and facts in a folder that is always whole."""

from bmtune.checkpoints.folder import Recovered
from bmtune.checkpoints.folder import has_checkpoint
from bmtune.checkpoints.folder import put_checkpoint
from bmtune.checkpoints.folder import raw_checkpoint
from bmtune.checkpoints.folder import read_checkpoint
from bmtune.checkpoints.folder import recover_checkpoint
from bmtune.checkpoints.folder import write_checkpoint

__all__ = [
    "Recovered",
    "has_checkpoint",
    "put_checkpoint",
    "raw_checkpoint",
    "read_checkpoint",
    "recover_checkpoint",
    "write_checkpoint",
]
