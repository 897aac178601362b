"""What a trial goes on from after its process was lost, it had paused, or its run was broken off."""

from pathlib import Path
from typing import Any
from typing import NamedTuple

from torch import Tensor

from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import recover_checkpoint
from bmtune.errors import CheckpointError

Saved = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and facts of a checkpoint."""


class Start(NamedTuple):
    """Where a trial begins in this process.

    Attributes:
        saved: Its newest sound checkpoint; None: it begins anew.
        best_epoch: The epoch whose cores lie in its checkpoint of the best ones, or None.
        notices: What the user should know about damaged checkpoints.
    """

    saved: Saved | None = None
    best_epoch: int | None = None
    notices: tuple[str, ...] = ()


def start_of(trial: int, last: Path, best: Path) -> Start:
    """Where a trial begins; damaged checkpoints are set aside.

    Args:
        trial: Its number, for notices.
        last: The checkpoint that it goes on from.
        best: The checkpoint of its best cores.

    Raises:
        FormatError: A checkpoint has a format or a version that this release does not read.
    """
    saved, damage = recover_checkpoint(last)
    where = "from epoch 0, because no sound one is left" if saved is None else f"from epoch {saved[1]['budget']}"
    notices = tuple(f"trial {trial} goes on {where}: {text}" for text in damage)
    return Start(saved, _epoch_of(best), notices)


def epoch_to_go_on_from(last: Path) -> int | None:
    """Epochs of the main phase that a trial would keep if it went on now; None: its newest checkpoint is damaged."""
    if not has_checkpoint(last):
        return 0
    try:
        return int(read_checkpoint(last)[1]["budget"])
    except CheckpointError:
        return None


def _epoch_of(best: Path) -> int | None:
    """The epoch of a checkpoint of best cores; None where there is none that can be read, so that it is written."""
    if not has_checkpoint(best):
        return None
    try:
        return int(read_checkpoint(best)[1]["epoch"])
    except CheckpointError:
        return None
