"""A run folder as a search leaves it, made from formulas: as many trials and epochs as one likes, within seconds."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import FloatDimension
from bmtune.config.space import SearchSpace
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_model import Params
from bmtune.config.space_model import is_active
from bmtune.config.yaml_text import dump
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import Status
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import to_line
from bmtune.search.halving import decide
from bmtune.search.halving import rungs

SECONDS = 0.4
"""Of an epoch."""
AT_ONCE = 16
FAILING = 0.03
"""Share of the trials that diverge."""


def write_run(folder: Path, trials: int, epochs: int, *, halving: bool = True, seed: int = 0) -> Path:
    """Writes `search.yaml` and `records.jsonl` of a GAN search; returns the folder.

    Args:
        folder: The run folder, which must not exist.
        trials: Trials of the search.
        epochs: Epochs of a whole trial.
        halving: Whether halving stops trials; else all train all epochs.
        seed: Of everything that is random.
    """
    space = load_space(default_space_path("gan"))
    budget = space.budget.model_copy(update={"trials": trials, "max_epochs": epochs})
    space = replace(space, budget=budget)
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text(dump(space.to_mapping()), encoding="utf-8")
    with (folder / "records.jsonl").open("wb") as file:
        file.writelines(map(to_line, _records(space, folder.name, np.random.default_rng(seed), halving=halving)))
    return folder


def _records(space: SearchSpace, name: str, random: np.random.Generator, *, halving: bool) -> Iterator[Record]:
    """The lines of the file: some trials at once, an epoch of each in turn."""
    began = 1_790_000_000.0
    yield RunStarted(
        run=name,
        trainer=space.trainer,
        dataset=space.base.data.dataset,
        data_hash="0" * 64,
        objective=Objective(metric="fid", mode="min"),
        trials=space.budget.trials,
        max_epochs=space.budget.max_epochs,
        seed=0,
        bmtune="synthetic",
        time=began,
    )
    seen: dict[int, list[float | None]] = {rung: [] for rung in _rungs(space)} if halving else {}
    clock, number, best = began, 0, (math.inf, 0)
    going: list[tuple[float, int, Iterator[Record]]] = []
    while going or number < space.budget.trials:
        if number < space.budget.trials and len(going) < AT_ONCE:
            params = space.base_params() if number == 0 else _propose(space, random)
            yield TrialStarted(trial=number, params=params, seed=number, time=clock)
            heapq.heappush(going, (clock, number, _trial(number, params, space.budget.max_epochs, random, seen)))
            number += 1
            continue
        clock, trial, records = heapq.heappop(going)
        for record in records:
            if isinstance(record, TrialFinished):
                record = record.model_copy(update={"time": clock})
                if record.status == "completed" and record.value is not None:
                    best = min(best, (record.value, trial))
            yield record
            if isinstance(record, Epoch):
                heapq.heappush(going, (clock + record.seconds, trial, records))
                break
    yield RunFinished(reason="all trials ended", best=best[1], test_metrics={"fid": best[0] * 1.2}, time=clock)


def _rungs(space: SearchSpace) -> tuple[int, ...]:
    return rungs(space.budget.grace, space.budget.eta, space.budget.max_epochs)


def _propose(space: SearchSpace, random: np.random.Generator) -> Params:
    params: Params = {}
    for path, dimension in space.parameters:
        if not is_active(dimension, params):
            continue
        if isinstance(dimension, CategoricalDimension):
            params[path] = dimension.choices[int(random.integers(len(dimension.choices)))]
        elif isinstance(dimension, FloatDimension):
            low, high = math.log(dimension.low), math.log(dimension.high)
            params[path] = math.exp(random.uniform(low, high))
        else:
            params[path] = int(random.integers(dimension.low, dimension.high + 1))
    return params


_Best = tuple[float, int, dict[str, float]]
"""Value, epoch and metrics of the best epoch."""


def _trial(
    number: int, params: Params, epochs: int, random: np.random.Generator, seen: dict[int, list[float | None]]
) -> Iterator[Record]:
    """Epochs whose fid falls to a floor, until halving or a failure ends them."""
    floor = _floor(params, random)
    fails_at = int(random.integers(1, max(3, epochs // 10))) if random.uniform() < FAILING and number else epochs + 1
    best: _Best = (math.inf, 0, {})
    for epoch in range(1, epochs + 1):
        if epoch == fails_at:
            yield _end(number, "failed", "the loss is not finite", best)
            return
        fid = (floor + 0.06 * math.exp(-epoch / 6)) * math.exp(random.normal(0, 0.12))
        accuracy = min(1.0, 0.97 + 0.02 * random.uniform())
        metrics = {"train/g_loss": 0.7 + fid, "acc": accuracy, "loss": 0.1 + fid, "fid": fid}
        best = min(best, (fid, epoch, metrics), key=lambda found: found[0])
        yield Epoch(
            trial=number,
            phase="gan",
            epoch=epoch,
            budget=epoch,
            metrics=metrics,
            seconds=SECONDS,
            eligible=True,
            best_epoch=best[1],
            best_metrics=best[2],
        )
        if epoch in seen:
            decision = decide(best[0], seen[epoch], 3, "min")
            seen[epoch].append(best[0])
            yield Rung(trial=number, rung=epoch, value=best[0], decision=decision)
            if decision == "stop":
                yield _end(number, "pruned", f"stopped at rung {epoch}", best)
                return
    yield _end(number, "completed", "all epochs were trained", best)


def _floor(params: Params, random: np.random.Generator) -> float:
    """The fid that a trial comes to: the start and the rate decide."""
    start, rate = params["born.init_std"], params["trainer.ganstyle.optimizer.lr"]
    assert isinstance(start, float)
    assert isinstance(rate, float)
    far = 8 * abs(math.log10(start) + 3.5) + 3 * abs(math.log10(rate) + 2.6)
    return 4e-4 * (1 + far + random.exponential(0.3))


def _end(number: int, status: Status, reason: str, best: _Best) -> TrialFinished:
    """The end of a trial; its time is put in where it is known."""
    value, epoch, metrics = best
    return TrialFinished(
        trial=number,
        status=status,
        reason=reason,
        value=None if status == "failed" else value,
        best_epoch=epoch or None,
        best_metrics=metrics or None,
        time=0.0,
    )
