"""How many lanes a pack takes, decided by measuring a few real steps at several widths.

The measured numbers are remembered, not the choice: memory that is free changes, and more lanes may come.
"""

from collections.abc import Callable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from itertools import cycle
from itertools import islice
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from typing import TypeVar

import torch

from bmtune.errors import ResourceError
from bmtune.packing.key import pack_key
from bmtune.packing.memory import Peak
from bmtune.packing.memory import asked_bytes
from bmtune.packing.memory import free_bytes
from bmtune.packing.memory import given_back
from bmtune.packing.memory import ran_out
from bmtune.packing.memory import share_of_machine
from bmtune.packing.memory import whole_machine
from bmtune.packing.pack import Lane
from bmtune.packing.rehearsal import rest_of_epoch
from bmtune.packing.rehearsal import steps
from bmtune.packing.width_file import Measured
from bmtune.packing.width_file import WidthFiles
from bmtune.training.epoch import batches
from bmtune.training.trial import next_epoch

Member = TypeVar("Member")

SHARE = 0.8
"""Of the free memory a pack may take so much: what the estimate does not see needs the rest."""

TIE = 0.03
"""Throughputs that differ by less are equal: timings are no more exact, and a narrower pack loses less with a lane."""

DEFAULT = 32
"""The width where a measurement would cost more than it could gain."""

WARM_UP, TIMED = 2, 3
"""Steps at each width. The second one meets the tensors that the first one made, as all later ones do."""

AMPLE = 64
"""A trial takes less than so many times the numbers in its parameters and in the features of its rows."""


class TooBig(NamedTuple):
    """Not even one lane fits.

    Attributes:
        bytes: What one lane takes.
    """

    bytes: int


class LaneTooBigError(ResourceError):
    """A single trial does not fit into memory.

    Attributes:
        bytes: What it needs, or at least that much.
    """

    def __init__(self, needed: int, free: int | None, *, at_least: bool = False) -> None:
        """An error about a trial that needs so many bytes, or at least so many, where so many are free."""
        self.bytes = needed
        needs = f"at least {needed} bytes" if at_least else f"{needed} bytes"
        have = "" if free is None else f" and {free} are free"
        super().__init__(
            f"a trial must fit into memory alone, but this one needs {needs}{have}; "
            "make its bond dimension or its batch smaller"
        )


def best_width(measured: Sequence[Measured], free: int | None, share: float = 1.0) -> int | TooBig:
    """The width of most steps a second among those that fit; the smallest of equally good ones.

    Args:
        measured: What was measured at each width; one entry at least.
        free: Free bytes; None where nobody knows.
        share: The part of them that other processes leave to this one.
    """
    fitting = [entry for entry in measured if _fits(entry.bytes, free, share)]
    if not fitting:
        narrowest = min(measured, key=lambda entry: entry.width)
        # A single lane has no narrower pack to go to, so it may take all that is free.
        alone = narrowest.bytes / narrowest.width
        return TooBig(round(alone)) if free is not None and alone > free else 1
    fastest = min(entry.seconds for entry in fitting)
    return min(entry.width for entry in fitting if entry.seconds * (1 - TIE) <= fastest)


def _fits(needed: float, free: int | None, share: float) -> bool:
    return free is None or needed <= SHARE * share * free


def split(lanes: Sequence[Member], width: int) -> list[Sequence[Member]]:
    """As few packs as hold all lanes, none wider than `width` and none more than one lane wider than another."""
    number = -(-len(lanes) // width)
    edges = [index * len(lanes) // number for index in range(number + 1)] if number else []
    return [lanes[low:high] for low, high in pairwise(edges)]


class Widths:
    """The width of each kind of pack on this machine.

    A kind is measured when it first comes with several lanes, on copies: no trial is changed. That takes no longer
    than about one epoch of the lanes; where it would take longer, a default is used, and of trials that are not small
    one is measured, so that it is known how many fit.
    """

    def __init__(
        self,
        cache: Path | None,
        clock: Callable[[], float] = perf_counter,
        free: Callable[[torch.device], int | None] = free_bytes,
        share: Callable[[torch.device], float] = share_of_machine,
    ) -> None:
        """Widths that are kept in a folder as well, if one is given.

        Args:
            cache: Folder for measured numbers; it is made when there are some.
            clock: Seconds.
            free: Free bytes of a device.
            share: The part of them that other processes leave to this one.
        """
        self._files = WidthFiles(cache)
        self._clock = clock
        self._free = free
        self._share = share
        self._measured: dict[str, tuple[Measured, ...]] = {}
        self._too_wide: dict[str, int] = {}
        self._epochs: dict[str, int] = {}

    def width(self, lanes: Sequence[Lane]) -> int:
        """The most lanes that a pack of these should have: from 1 to the number of them.

        Args:
            lanes: Trials with equal pack keys, none of which has ended.

        Raises:
            LaneTooBigError: Not even one lane fits into memory.
        """
        device = lanes[0].problem.device
        small = surely_fit(lanes, self._free(device))
        if len(lanes) == 1 and small:
            return 1
        key = pack_key(*lanes[0])
        if key not in self._measured:
            self._measured[key] = self._files.read(key, device)
        if self._wider(key, len(lanes), device):
            worth = self._is_worth(key, lanes)
            if not (worth or self._measured[key]) and small:
                return min(DEFAULT, len(lanes))
            if worth or not self._measured[key]:
                with nullcontext() if small else whole_machine(device):
                    self._measure_wider(key, lanes, len(lanes) if worth else 1)
        return min(self._best(key, device), len(lanes))

    def turn(self, lanes: Sequence[Lane]) -> AbstractContextManager[object]:
        """To be held while a pack is advanced: one that takes more than its share waits for others that do."""
        device = lanes[0].problem.device
        free = self._free(device)
        if surely_fit(lanes, free):
            return nullcontext()
        measured = self._measured.get(pack_key(*lanes[0]))
        each = max(entry.bytes / entry.width for entry in measured) if measured else 0.0
        fits = _fits(len(lanes) * each, free, self._share(device))
        return given_back(device) if fits else whole_machine(device)

    def _best(self, key: str, device: torch.device) -> int:
        """The width that is best as far as is known and that fits, whatever the number of lanes."""
        measured, share, free = self._measured[key], self._share(device), self._free(device)
        best = best_width(measured, free, share)
        if isinstance(best, TooBig):
            # Another process may have its turn just now.
            with whole_machine(device):
                free = self._free(device)
            best = best_width(measured, free, share)
        if isinstance(best, TooBig):
            raise LaneTooBigError(best.bytes, free)
        if best == measured[-1].width and not settled(measured) and key not in self._too_wide:
            # Nothing but memory speaks against a wider pack than was measured.
            each = measured[-1].bytes / measured[-1].width
            room = DEFAULT if free is None or not each else int(SHARE * share * free / each)
            best = max(best, min(DEFAULT, room))
        return best

    def _wider(self, key: str, num_lanes: int, device: torch.device) -> int | None:
        """The next width to measure; None where no wider one is needed, possible or promising."""
        measured = self._measured[key]
        if not measured:
            return 1
        last = measured[-1]
        following = max(4, 2 * last.width)
        if last.width >= num_lanes or following >= self._too_wide.get(key, following + 1) or settled(measured):
            return None
        needed = last.bytes * following / last.width
        return following if _fits(needed, self._free(device), self._share(device)) else None

    def _is_worth(self, key: str, lanes: Sequence[Lane]) -> bool:
        """Whether measuring the widths that are left takes no more steps than one epoch of the lanes."""
        known = {entry.width for entry in self._measured[key]}
        steps = (WARM_UP + TIMED) * sum(width for width in ladder(len(lanes)) if width not in known)
        if key not in self._epochs:
            problem, state = lanes[0]
            self._epochs[key] = sum(1 for _ in batches(problem, state.phase, next_epoch(state)))
        return steps <= len(lanes) * self._epochs[key]

    def _measure_wider(self, key: str, lanes: Sequence[Lane], most: int) -> None:
        """Measures wider and wider packs, until one holds `most` lanes or there is no reason to go on."""
        device = lanes[0].problem.device
        # Another process may have measured while this one waited for its turn.
        self._measured[key] = self._measured[key] or self._files.read(key, device)
        # Large ones first: a lane that does not fit is met alone, and no pack is taken for smaller than it can be.
        ordered = sorted(lanes, key=lambda lane: -sum(core.numel() for core in lane.state.cores))
        while (width := self._wider(key, most, device)) is not None:
            free = self._free(device)
            peak = Peak(device, free)
            try:
                # Lanes stand for others where there are too few: a step costs the same whoever takes it.
                found = _measure(list(islice(cycle(ordered), width)), peak, self._clock)
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
                if width == 1:
                    raise LaneTooBigError(peak.bytes + asked_bytes(error), free, at_least=True) from error
                self._too_wide[key] = width
                continue
            self._measured[key] = (*self._measured[key], found)
        self._files.write(key, device, self._measured[key])


def surely_fit(lanes: Sequence[Lane], free: int | None) -> bool:
    """Whether trials are so small, even with all training rows in one batch, that measuring them would be a waste."""
    return free is None or 8 * AMPLE * sum(map(_numbers, lanes)) <= free


def _numbers(lane: Lane) -> int:
    """Parameters, and features with their products, of a trial."""
    born, chain = lane.problem.config.born, lane.problem.chain
    rows = len(lane.problem.splits["train"].y)
    parameters = sum(core.numel() for core in lane.state.cores)
    return parameters + rows * chain.num_sites * born.physical_dim * (1 + born.bond_dim)


def ladder(num_lanes: int) -> list[int]:
    """The widths that are measured for so many lanes: 1, 4, 8, 16 and so on, up to the first that holds all."""
    widths = [1]
    while widths[-1] < num_lanes:
        widths.append(max(4, 2 * widths[-1]))
    return widths


def settled(measured: Sequence[Measured]) -> bool:
    """Whether the two widest packs were no better than a narrower one, so that still wider ones will not be either."""
    seconds = [entry.seconds for entry in sorted(measured)]
    return len(seconds) > 2 and min(seconds[-2:]) >= min(seconds[:-2]) * (1 - TIE)


def _measure(lanes: Sequence[Lane], peak: Peak, clock: Callable[[], float]) -> Measured:
    """Seconds of a step for each lane, and the bytes that the pack takes in an epoch."""
    device = lanes[0].problem.device
    with peak:
        stepping = steps(lanes)
        for _ in range(WARM_UP):
            players = next(stepping)
        rest_of_epoch(lanes, players)
        del players
        _wait_for(device)
    seconds = []
    for _ in range(TIMED):
        began = clock()
        next(stepping)
        _wait_for(device)
        seconds.append(clock() - began)
    # The fastest: whatever else the machine does can only add to it.
    return Measured(len(lanes), min(seconds) / len(lanes), peak.bytes)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
