"""Checkpoints: tensors and facts in a folder that is always whole."""

from bmtune.checkpoints.folder import read_checkpoint
from bmtune.checkpoints.folder import write_checkpoint

__all__ = ["read_checkpoint", "write_checkpoint"]
