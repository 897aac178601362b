"""Halving that promotes against Algorithm 2 of Li et al. 2020 (arXiv 1810.05934), written down word by word."""

import heapq
import math
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import TrialStarted
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import promote_trial
from bmtune.search.conduct import take_report
from bmtune.search.halving import Arrival
from bmtune.search.halving import Standing
from bmtune.search.halving import decide_arrival
from bmtune.search.halving import next_promotion
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

Job = tuple[int, int]
"""A configuration, and the rung (from 0) up to which it is to be trained."""


class Published:
    """`get_job` and the update of a rung as they are printed; the losses are minimised.

    A loss that is not a number, of which nothing is printed, is the worst and is never promoted.
    """

    def __init__(self, eta: int, top: int) -> None:
        self.eta = eta
        self.top = top
        self.rung: list[list[tuple[int, float]]] = [[] for _ in range(top + 1)]
        self.promoted: list[set[int]] = [set() for _ in range(top + 1)]
        self.drawn = 0

    def get_job(self) -> Job:
        for k in range(self.top - 1, -1, -1):
            candidates = self.top_k(self.rung[k], len(self.rung[k]) // self.eta)
            promotable = [config for config in candidates if config not in self.promoted[k]]
            if promotable:
                self.promoted[k].add(promotable[0])
                return promotable[0], k + 1
        self.drawn += 1
        return self.drawn - 1, 0

    def top_k(self, results: list[tuple[int, float]], k: int) -> list[int]:
        return [config for config, _ in sorted(results, key=lambda result: result[1])[:k]]

    def worker_left(self) -> None:
        """Nothing: no worker is known here."""

    def completed(self, job: Job, loss: float) -> None:
        config, k = job
        if math.isnan(loss):
            self.promoted[k].add(config)
            loss = math.inf
        self.rung[k].append((config, loss))


class Ours:
    """The same two questions, asked of the pure functions."""

    def __init__(self, eta: int, top: int, direction: str) -> None:
        self.eta = eta
        self.top = top
        self.direction: Any = direction
        self.arrivals: dict[int, list[Arrival]] = {10 + k: [] for k in range(top)}
        self.waiting: dict[int, int] = {}
        self.drawn = 0
        self.goes_on: Job | None = None

    def get_job(self) -> Job:
        if self.goes_on is not None:
            job, self.goes_on = self.goes_on, None
            return job
        found = next_promotion(Standing(self.arrivals, self.waiting), self.eta, self.direction)
        if found is not None:
            assert self.waiting.pop(found.trial) == found.rung
            return found.trial, found.rung - 10 + 1
        self.drawn += 1
        return self.drawn - 1, 0

    def completed(self, job: Job, loss: float) -> None:
        trial, k = job
        if k == self.top:
            return
        arrival = Arrival(trial, -loss if self.direction == "max" else loss)
        standing = Standing(self.arrivals, self.waiting)
        decision = decide_arrival(arrival, 10 + k, standing, self.eta, self.direction)
        self.arrivals[10 + k].append(arrival)
        assert (decision == "stop") == math.isnan(loss)
        if decision == "promote":
            self.goes_on = trial, k + 1
        elif decision == "pause":
            self.waiting[trial] = 10 + k

    def worker_left(self) -> None:
        """A trial that would have gone on in the place that is lost waits for another."""
        if self.goes_on is not None:
            trial, k = self.goes_on
            self.waiting[trial], self.goes_on = 10 + k - 1, None


def jobs_of(
    method: Any, losses: Callable[[Job], float], workers: int, seed: int, num_jobs: int, *, leaving: bool = True
) -> list[Job]:
    """The jobs that a method hands out to workers of random speed, in order.

    Where each worker asks for a job as soon as it has done one, no more than one trial is promotable at a time. So some
    workers leave for a while, and others find several promotable trials when they come.
    """
    speeds = random.Random(seed)
    missing = 0
    events: list[tuple[float, int, Job]] = []
    handed: list[Job] = []

    def hand_out(now: float) -> None:
        job = method.get_job()
        handed.append(job)
        heapq.heappush(events, (now + speeds.uniform(0.2, 1.0) * 3 ** job[1], len(handed), job))

    for _ in range(workers):
        hand_out(0.0)
    while len(handed) < num_jobs:
        now, _, job = heapq.heappop(events)
        method.completed(job, losses(job))
        if leaving and events and speeds.random() < 0.3:
            method.worker_left()
            missing += 1
            continue
        hand_out(now)
        while missing and speeds.random() < 0.2:
            hand_out(now)
            missing -= 1
    return handed


def crossing(job: Job, seed: int = 1) -> float:
    """A simulated learning curve at a rung: a final value, approached at its own speed, with noise."""
    config, k = job
    own = random.Random(seed * 7919 + config)
    final, speed = own.random(), math.exp(own.gauss(0, 1))
    return final + 1.5 / (1 + speed * 3.0**k) + random.Random(f"{seed} {config} {k}").gauss(0, 0.02)


def lossy(job: Job, seed: int = 1) -> float:
    """The same curves, a quarter of whose trials lose their numbers at some rung."""
    lost = random.Random(f"lost {seed} {job[0]}").choice([0, 1, 2, 3, *[99] * 12])
    return math.nan if job[1] == lost else crossing(job, seed)


@pytest.mark.parametrize("curve", [crossing, lossy])
@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize(("eta", "top", "workers"), [(3, 3, 1), (2, 5, 4), (3, 3, 32), (4, 2, 7)])
def test_every_worker_gets_the_published_job(
    eta: int, top: int, workers: int, direction: str, curve: Callable[..., float]
) -> None:
    for seed in range(5):
        curves = partial(curve, seed=seed)
        expected = jobs_of(Published(eta, top), curves, workers, seed, 300)
        assert jobs_of(Ours(eta, top, direction), curves, workers, seed, 300) == expected
        assert {k for _, k in expected} == set(range(top + 1))
        # The comparison is not one of searches in which every trial goes on at once, or none does.
        came_later = [job for before, job in pairwise(expected) if job[1] and job[0] < before[0]]
        assert len(came_later) >= 10


@given(
    losses=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    eta=st.integers(2, 4),
    top=st.integers(1, 4),
    workers=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_the_jobs_are_the_published_ones_among_equal_values_too(
    losses: list[int], eta: int, top: int, workers: int, seed: int
) -> None:
    def loss(job: Job) -> float:
        return float(losses[(job[0] * 5 + job[1]) % len(losses)])

    expected = jobs_of(Published(eta, top), loss, workers, seed, 60)
    assert jobs_of(Ours(eta, top, "min"), loss, workers, seed, 60) == expected


@pytest.mark.parametrize("metric", ["loss", "acc"])
@pytest.mark.parametrize(("eta", "ends"), [(3, (1, 3, 9)), (2, (1, 2, 4, 8))])
@pytest.mark.parametrize("workers", [1, 6])
def test_a_conducted_search_hands_out_the_published_jobs(
    make_space: Callable[..., SearchSpace],
    open_ledger: Callable[..., Any],
    workers: int,
    eta: int,
    ends: tuple[int, ...],
    metric: str,
) -> None:
    """The conduct of a search over records against the published algorithm."""
    budget = f"budget: {{trials: 1000, max_epochs: {ends[-1]}, eta: {eta}"
    halving = ("budget: {trials: 8, max_epochs: 9, eta: 3", f"run: {{halving: promote, sampler: random}}\n{budget}")
    ledger = open_ledger(make_space(halving, ("metric: loss", f"metric: {metric}")))
    top = len(ends) - 1

    class Conducted:
        goes_on: Job | None = None

        def get_job(self) -> Job:
            if self.goes_on is not None:
                job, self.goes_on = self.goes_on, None
                return job
            number = promote_trial(ledger)
            if number is not None:
                return number, ends.index(ledger.state.running[number].budget) + 1
            started = begin_trial(ledger)
            assert isinstance(started, TrialStarted)
            return started.trial, 0

        def completed(self, job: Job, loss: float) -> None:
            trial, k = job
            report = TrialReport(
                epochs=tuple(epoch(trial, number, loss) for number in range(([0, *ends])[k] + 1, ends[k] + 1)),
                end=TrialEnd(status="completed", reason="done") if k == top else None,
            )
            if take_report(ledger, trial, report) == "continue":
                self.goes_on = trial, k + 1

    expected = jobs_of(Published(eta, top), crossing, workers, 1, 120, leaving=False)
    assert jobs_of(Conducted(), crossing, workers, 1, 120, leaving=False) == expected


def epoch(trial: int, number: int, loss: float) -> Epoch:
    metrics = {"loss": loss, "acc": 1 - loss / 10}
    return Epoch(
        trial=trial,
        phase="pre",
        epoch=number,
        budget=number,
        metrics=metrics,
        seconds=0.1,
        eligible=True,
        best_epoch=number,
        best_metrics=metrics,
    )
