"""What is confirmed: which trials, with which seeds, and whether a search can afford it. Decisions only."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bmtune.config.root import TrialConfig
from bmtune.config.space_model import RunSettings
from bmtune.errors import ConfigError
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.search.plan import MOST_LANES
from bmtune.search.plan import HostPlan
from bmtune.search.plan import gpus_of
from bmtune.search.plan import plan_hosts
from bmtune.search.state import SearchState
from bmtune.search.trials import RunningTrial

FEWEST_SEEDS = 2
"""One value has no spread."""

STREAM = 0x636F6E66
"""Sets the seeds of a confirmation apart from those of trials."""

WORTH = 0.9
"""Share of the search's time that a confirmation may be expected to take where nobody asked for it: it must not double
that time."""

TOGETHER = 0.7
"""Seconds of a training in a confirmation, as a share of what the search's epochs lead to: its packs are wider.
Measured 0.56 to 0.78 with the default GAN search."""

STARTING_S = 5.0
"""Seconds that the processes of a confirmation take to start."""


@dataclass(frozen=True)
class Wish:
    """What is to be confirmed.

    Attributes:
        top: K, the configurations besides the base one.
        seeds: S, trainings of each.
    """

    top: int = 3
    seeds: int = 5

    def __post_init__(self) -> None:
        """Checks both.

        Raises:
            ConfigError: One is too small.
        """
        if self.top < 1:
            raise ConfigError(
                f"a confirmation takes at least 1 configuration, but got {self.top} (command line: --top); give 3"
            )
        if self.seeds < FEWEST_SEEDS:
            raise ConfigError(
                f"a confirmation takes at least {FEWEST_SEEDS} seeds, since one value has no spread, but got "
                f"{self.seeds} (command line: --seeds); give 5"
            )


AFFORDABLE = (Wish(3, 5), Wish(2, 5), Wish(1, 5))
"""What a search confirms by itself, the first that it can afford."""


def parse_wish(text: str) -> Wish | None:
    """A checked `K:S`; None for `none`."""
    return None if text == "none" else Wish(*map(int, text.split(":")))


@dataclass(frozen=True)
class Choice:
    """The trials whose configurations are confirmed.

    Attributes:
        chosen: Those that the search found best, the best first.
        base: The one that has the base configuration.
        trials: All of them.
        notice: A sentence where there are fewer than were asked for, or None.
    """

    chosen: tuple[int, ...]
    base: int
    trials: tuple[RunningTrial, ...]
    notice: str | None


def choose(state: SearchState, top: int) -> Choice:
    """The best `top` trials of different configurations, and the one with the base configuration.

    Args:
        state: The search, which has a trial that was measured.
        top: Configurations, besides the base one where that is none of the best.
    """
    distinct: list[RunningTrial] = []
    for trial in state.ranked(unfinished=True):
        if all(trial.run.params != other.params for other in distinct):
            distinct.append(trial.run)
    first = state.finished[0].run if 0 in state.finished else state.running[0]
    best = distinct[:top]
    base = next((trial for trial in best if trial.params == first.params), first)
    notice = None
    if len(best) < top:
        notice = f"{top} configurations were asked for and {len(best)} could be measured: those are confirmed"
    trials = tuple(best) if base in best else (*best, base)
    return Choice(tuple(trial.number for trial in best), base.number, trials, notice)


def fresh_seeds(run_seed: int, number: int) -> tuple[int, ...]:
    """Seeds that no trial of the run has; the first ones stay the same when more are asked for."""
    return tuple(
        int(np.random.SeedSequence([run_seed, STREAM, place]).generate_state(1)[0] >> 1) for place in range(number)
    )


def reseeded(config: TrialConfig, seed: int) -> TrialConfig:
    """A configuration whose start, batches, pre-training and split of the data all come from another seed."""
    data = config.data.model_copy(update={"split_seed": seed})
    return config.model_copy(update={"seed": seed, "pre_seed": None, "data": data})


def plan_confirmation(run: RunSettings, trainings: int, room: int) -> HostPlan:
    """How the trainings are spread over hosts: all at once, as far as a search would let so many share a host."""
    parts_of_gpus = 0 < gpus_of(run) < 1
    pack = MOST_LANES if run.pack == "auto" and not parts_of_gpus else run.pack
    settings = run.model_copy(update={"pack": pack, "max_concurrent": None})
    return plan_hosts(settings, trainings, room)


def expected_seconds(epochs: Iterable[Epoch], choice: Choice, max_epochs: int) -> float:
    """Seconds of one process for one training of each chosen configuration, by the seconds of the search's epochs.

    Every one is taken to pre-train, for as long as the longest did; the main phase is taken to last its whole budget.
    """
    before, main, budgets = dict[int, float](), dict[int, float](), dict[int, int]()
    for epoch in epochs:
        part = main if epoch.budget else before
        part[epoch.trial] = part.get(epoch.trial, 0.0) + epoch.seconds
        budgets[epoch.trial] = max(epoch.budget, budgets.get(epoch.trial, 0))
    each = {trial: main[trial] / budgets[trial] * max_epochs for trial in main}
    typical = max(each.values(), default=0.0)
    longest = max(before.values(), default=0.0)
    return TOGETHER * sum(each.get(trial.number, typical) + longest for trial in choice.trials)


def seconds_of_search(records: Iterable[Record], now: float) -> tuple[float, float]:
    """Seconds that a search took until `now`, and those since it began or last went on.

    The time between the last record of a search that was broken off and its going on is none of it.

    Args:
        records: All records of the search.
        now: Its end, in seconds since 1970.
    """
    before, began, last = 0.0, now, now
    for record in records:
        time = getattr(record, "time", None)
        if time is None:
            continue
        if isinstance(record, RunStarted | RunResumed):
            before += max(0.0, last - began)
            began = last = time
        last = max(last, time)
    since = max(0.0, now - began)
    return before + since, since


def affordable(choices: Sequence[tuple[Wish, float]], hosts: int, allowed_s: float) -> Wish | None:
    """The first wish that is expected to take no longer than allowed; None where none is.

    Args:
        choices: Each wish, and the seconds of one process for one seed of it.
        hosts: Processes.
        allowed_s: Seconds.
    """
    for wish, seconds in choices:
        if STARTING_S + seconds * wish.seeds / hosts <= allowed_s:
            return wish
    return None
