"""Trainings advanced together: the widths that fit, and the one that fails alone. No Ray, no threads."""

import re
from collections.abc import Hashable
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import TypeVar

import torch

from bmtune.errors import ResourceError
from bmtune.packing import ran_out
from bmtune.packing import split
from bmtune.search.trial_run import Training
from bmtune.training import EpochReport

Member = TypeVar("Member", contravariant=True)
"""A `Training`, of the kind that a packing knows how to advance."""


class Packing(Protocol[Member]):
    """How trainings share one program."""

    def key(self, training: Member) -> Hashable:
        """Trainings of equal keys may be advanced together, as they stand now."""
        ...

    def width(self, trainings: Sequence[Member]) -> int:
        """How many of these, which all have the same key, are best advanced together.

        Raises:
            ResourceError: Not even one fits into memory.
        """
        ...

    def advance(self, trainings: Sequence[Member]) -> Sequence[EpochReport]:
        """Trains exactly one epoch of each; all have the same key. Where it raises, none has changed."""
        ...


class OneByOne:
    """Every training is a pack of its own."""

    def key(self, training: Training) -> Hashable:
        """See `Packing.key`."""
        return id(training)

    def width(self, trainings: Sequence[Training]) -> int:
        """See `Packing.width`."""
        return 1

    def advance(self, trainings: Sequence[Training]) -> Sequence[EpochReport]:
        """See `Packing.advance`."""
        (training,) = trainings
        return [training.advance()]


class DeviceLostError(Exception):
    """The device answers no more; only a new process can use it again."""


class Packs:
    """Advances trainings in packs that are no wider than what fitted before."""

    def __init__(self, packing: Packing[Any]) -> None:
        """Packs of any width, until one does not fit."""
        self._packing = packing
        self._widths: dict[Hashable, int] = {}
        self._refused: dict[Hashable, ResourceError] = {}

    def group(self, trainings: Sequence[Training]) -> list[list[Training]]:
        """The packs of one round: equal keys together, in order of their first member."""
        found: dict[Hashable, list[Training]] = {}
        for training in trainings:
            found.setdefault(self._packing.key(training), []).append(training)
        return [pack for key, members in found.items() for pack in _split(members, self._width(key, members))]

    def _width(self, key: Hashable, members: Sequence[Training]) -> int:
        """The width that was measured to be best, as far as it fitted."""
        try:
            best = self._packing.width(members)
        except ResourceError as error:
            self._refused[key] = error
            return 1
        self._refused.pop(key, None)
        return min(best, self._widths.get(key, best))

    def advance(self, pack: Sequence[Training]) -> list[EpochReport | Exception]:
        """One epoch of each member, or what it raised.

        A pack that does not fit into memory is halved, and stays halved; of one that fails otherwise each member is
        trained alone, so that only the guilty one fails.

        Raises:
            DeviceLostError: No member can be trained in this process.
        """
        refused = self._refused.get(self._packing.key(pack[0]))
        if refused is not None:
            return [refused for _ in pack]
        try:
            return list(self._packing.advance(pack))
        except Exception as error:
            if is_lost(error):
                raise DeviceLostError(str(error)) from error
            full = ran_out(error)
            if len(pack) == 1:
                return [_alone_too_large(error) if full else error]
            parts = 2 if full else len(pack)
            width = -(-len(pack) // parts)
            if full:
                self._widths[self._packing.key(pack[0])] = width
        # Outside of the handler: a traceback keeps the tensors of its frames alive.
        if full and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [entry for part in _split(pack, width) for entry in self.advance(part)]


def _split(members: Sequence[Training], width: int) -> list[list[Training]]:
    return [list(part) for part in split(members, width)]


def is_lost(error: Exception) -> bool:
    """Whether an exception says that the device answers this process no more."""
    return isinstance(error, RuntimeError) and not ran_out(error) and "CUDA error" in str(error)


def _alone_too_large(error: Exception) -> MemoryError:
    """What the user reads of a trial that fits into no pack."""
    asked = re.search(r"allocate ([\d.]+ ?(?:bytes|[KMGT]iB))", str(error))
    size = f"{asked[1]} more than there is" if asked else "more memory than there is"
    found = MemoryError(f"a trial must fit into memory alone, but this one needs {size}; make it or its batch smaller")
    found.__cause__ = error
    return found
