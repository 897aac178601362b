"""How many lanes a pack takes, decided by measuring a few real steps at several widths.

The measured numbers are remembered, not the choice: memory that is free changes, and more lanes may come.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import count
from itertools import cycle
from itertools import islice
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any
from typing import NamedTuple
from typing import TypeVar

import torch

from bmtune.errors import ResourceError
from bmtune.packing.engine import LaneEngine
from bmtune.packing.key import pack_key
from bmtune.packing.memory import Peak
from bmtune.packing.memory import asked_bytes
from bmtune.packing.memory import free_bytes
from bmtune.packing.memory import ran_out
from bmtune.packing.pack import Lane
from bmtune.packing.pack import common_problem
from bmtune.packing.pack import stacked_batches
from bmtune.packing.stack import stack_players
from bmtune.packing.width_file import Measured
from bmtune.packing.width_file import WidthFiles
from bmtune.training.engine import Engine
from bmtune.training.engine import SoloEngine
from bmtune.training.epoch import batches
from bmtune.training.recipes import PHASES
from bmtune.training.trial import next_epoch

Member = TypeVar("Member")

SHARE = 0.8
"""Of the free memory a pack may take so much: validation and what the estimate does not see need the rest."""

TIE = 0.03
"""Throughputs that differ by less are equal: timings are no more exact, and a narrower pack loses less with a lane."""

DEFAULT = 32
"""The width where a measurement would cost more than it could gain."""

WARM_UP, TIMED = 1, 3
"""Steps at each width."""


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

    def __init__(self, needed: int, free: int | None) -> None:
        """An error about a trial that needs so many bytes where so many are free."""
        self.bytes = needed
        have = "" if free is None else f" and {free} are free"
        super().__init__(
            f"a trial must fit into memory alone, but this one needs {needed} bytes{have}; "
            "make its bond dimension or its batch smaller"
        )


def best_width(measured: Sequence[Measured], free: int | None) -> int | TooBig:
    """The width of most steps a second among those that fit; the smallest of equally good ones.

    Args:
        measured: What was measured at each width; one entry at least.
        free: Free bytes; None where nobody knows.
    """
    fitting = [entry for entry in measured if _fits(entry.bytes, free)]
    if not fitting:
        narrowest = min(measured, key=lambda entry: entry.width)
        # A single lane has no narrower pack to go to, so it may take all that is free.
        alone = narrowest.bytes / narrowest.width
        return TooBig(round(alone)) if free is not None and alone > free else 1
    fastest = min(entry.seconds for entry in fitting)
    return min(entry.width for entry in fitting if entry.seconds * (1 - TIE) <= fastest)


def _fits(needed: float, free: int | None) -> bool:
    return free is None or needed <= SHARE * free


def split(lanes: Sequence[Member], width: int) -> list[Sequence[Member]]:
    """As few packs as hold all lanes, none wider than `width` and none more than one lane wider than another."""
    number = -(-len(lanes) // width)
    edges = [index * len(lanes) // number for index in range(number + 1)] if number else []
    return [lanes[low:high] for low, high in pairwise(edges)]


class Widths:
    """The width of each kind of pack on this machine.

    A kind is measured when it first comes with several lanes, on copies: no trial is changed. That takes no longer
    than about one epoch of the lanes; where it would take longer, a default is used.
    """

    def __init__(
        self,
        cache: Path | None,
        clock: Callable[[], float] = perf_counter,
        free: Callable[[torch.device], int | None] = free_bytes,
    ) -> None:
        """Widths that are kept in a folder as well, if one is given.

        Args:
            cache: Folder for measured numbers; it is made when there are some.
            clock: Seconds.
            free: Free bytes of a device.
        """
        self._files = WidthFiles(cache)
        self._clock = clock
        self._free = free
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
        if len(lanes) == 1:
            return 1
        key, device = pack_key(*lanes[0]), lanes[0].problem.device
        if key not in self._measured:
            self._measured[key] = self._files.read(key, device)
        if self._wider(key, len(lanes), device) and self._is_worth(key, lanes):
            self._measure_wider(key, lanes)
        measured, free = self._measured[key], self._free(device)
        if not measured:
            return min(DEFAULT, len(lanes))
        best = best_width(measured, free)
        if isinstance(best, TooBig):
            raise LaneTooBigError(best.bytes, free)
        if best == measured[-1].width and self._wider(key, len(lanes), device):
            # Nothing speaks against a wider pack than was worth measuring.
            each = measured[-1].bytes / measured[-1].width
            room = DEFAULT if free is None or not each else int(SHARE * free / each)
            best = max(best, min(DEFAULT, room))
        return min(best, len(lanes))

    def _wider(self, key: str, num_lanes: int, device: torch.device) -> int | None:
        """The next width to measure; None where no wider one is needed, possible or promising."""
        measured = self._measured[key]
        if not measured:
            return 1
        last = measured[-1]
        following = max(4, 2 * last.width)
        if last.width >= num_lanes or following >= self._too_wide.get(key, following + 1) or settled(measured):
            return None
        return following if _fits(last.bytes * following / last.width, self._free(device)) else None

    def _is_worth(self, key: str, lanes: Sequence[Lane]) -> bool:
        """Whether measuring the widths that are left takes no more steps than one epoch of the lanes."""
        known = {entry.width for entry in self._measured[key]}
        steps = (WARM_UP + TIMED) * sum(width for width in ladder(len(lanes)) if width not in known)
        if key not in self._epochs:
            problem, state = lanes[0]
            self._epochs[key] = sum(1 for _ in batches(problem, state.phase, next_epoch(state)))
        return steps <= len(lanes) * self._epochs[key]

    def _measure_wider(self, key: str, lanes: Sequence[Lane]) -> None:
        """Measures wider and wider packs until there is no reason to go on."""
        device = lanes[0].problem.device
        # Large ones first: a lane that does not fit is met alone, and no pack is taken for smaller than it can be.
        ordered = sorted(lanes, key=lambda lane: -sum(core.numel() for core in lane.state.cores))
        while (width := self._wider(key, len(lanes), device)) is not None:
            peak = Peak(device)
            try:
                # Lanes stand for others where there are too few: a step costs the same whoever takes it.
                found = _measure(list(islice(cycle(ordered), width)), peak, self._clock)
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
                if width == 1:
                    raise LaneTooBigError(peak.bytes + asked_bytes(error), self._free(device)) from error
                self._too_wide[key] = width
                continue
            self._measured[key] = (*self._measured[key], found)
        self._files.write(key, device, self._measured[key])


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
    """Seconds of a step for each lane, and the bytes that the pack takes."""
    device = lanes[0].problem.device
    with peak:
        steps = _steps(lanes)
        for _ in range(WARM_UP):
            next(steps)
        _wait_for(device)
    seconds = []
    for _ in range(TIMED):
        began = clock()
        next(steps)
        _wait_for(device)
        seconds.append(clock() - began)
    # The fastest: whatever else the machine does can only add to it.
    return Measured(len(lanes), min(seconds) / len(lanes), peak.bytes)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _steps(lanes: Sequence[Lane]) -> Iterator[None]:
    """Real steps of copies of the lanes, with the drawing of their batches, as long as they are asked for."""
    recipe = PHASES[lanes[0].state.phase]
    engine: Engine
    if len(lanes) == 1:
        engine, problem, players = SoloEngine(), lanes[0].problem, lanes[0].state.players
    else:
        engine, problem = LaneEngine([lane.problem for lane in lanes]), common_problem(lanes)
        players = stack_players([lane.state.players for lane in lanes])
    for batch in _endless(lanes):
        players = recipe.step(engine, problem, players, batch).players
        yield


def _endless(lanes: Sequence[Lane]) -> Iterator[tuple[Any, ...]]:
    """The batches of the next epoch, of the one after it, and so on."""
    problems, phase = [lane.problem for lane in lanes], lanes[0].state.phase
    for later in count():
        epochs = [next_epoch(lane.state) + later for lane in lanes]
        if len(lanes) == 1:
            drawn = iter(batches(problems[0], phase, epochs[0]))
        else:
            drawn = stacked_batches(common_problem(lanes), problems, phase, epochs)
        yield from (batch for _, batch in drawn)
