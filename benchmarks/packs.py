"""Training steps of 32 trials as one pack, per trial: against tensorkrowch and against one trial alone.

A step draws its batch as training does. `limit` is the share of the fastest batched matrix product (`torch.bmm` at the
shapes of the contraction, in the better of two layouts, measured in the same run) that the packed step reaches.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import torch

from benchmarks.step import rows
from benchmarks.step import tensorkrowch_step
from benchmarks.table import Result
from benchmarks.timing import milliseconds
from benchmarks.timing import paired
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing.engine import LaneEngine
from bmtune.packing.pack import stacked_batches
from bmtune.packing.stack import stack_players
from bmtune.training import Problem
from bmtune.training import make_problem
from bmtune.training import start
from bmtune.training.engine import SoloEngine
from bmtune.training.epoch import batches
from bmtune.training.recipes import PHASES
from bmtune.training.settle import main_phase

LANES = 32
Shape = tuple[int, int, int, int]
SHAPES: dict[Shape, tuple[float, float, float]] = {
    (2, 10, 6, 256): (25, 9, 0.5),
    (64, 3, 10, 64): (12, 5, 0.5),
    (64, 3, 32, 64): (14, 2.2, 0.4),
    (196, 3, 20, 64): (9, 3, 0.0),
}
"""(N, d, D, B), and what is asked: times as fast as tensorkrowch, as one trial alone, and the share of the limit."""
FIRST = (2, 10, 6, 256)
ASKED = 5.0
"""Times as fast as one trial alone that the other recipes' steps are asked to be at the first shape."""


def configured(recipe: str, shape: Shape, seed: int) -> TrialConfig:
    """A trial of a recipe at a shape, in float32."""
    _, physical_dim, bond_dim, batch_size = shape
    section: dict[str, dict[str, Any]] = {
        "classification": {"classification": {"batch_size": batch_size, "optimizer": {"lr": 1e-3}}},
        "generative": {"generative": {"batch_size": batch_size, "optimizer": {"lr": 1e-3}}},
        "gan": {"ganstyle": {"sampling": {"num_per_class": batch_size}, "critic": {"pretrain_epochs": 0}}},
        "adversarial": {"adversarial": {"batch_size": batch_size, "attack": {"steps": 10}}},
    }
    born = {"embedding": "fourier", "physical_dim": physical_dim, "bond_dim": bond_dim}
    raw = {"recipe": recipe, "seed": seed, "born": born, "trainer": section[recipe]}
    return TrialConfig.model_validate(raw)


def problems(recipe: str, shape: Shape, num_classes: int) -> list[Problem]:
    """As many trials as there are lanes, on the same random rows."""
    x, y = rows(16 * shape[3], shape[0], num_classes)
    first = configured(recipe, shape, 0)
    data = DataHandler.from_arrays(x.numpy(), y.numpy(), first.data, (0.0, 1.0))
    return [make_problem(configured(recipe, shape, seed), data) for seed in range(LANES)]


def packed_step(trials: list[Problem]) -> Callable[[], object]:
    """A step of all trials as one pack, with the drawing of its batches."""
    phase = main_phase(trials[0])
    state = {"players": stack_players([_main_players(trial) for trial in trials])}
    engine, recipe = LaneEngine(trials), PHASES[phase]
    endless = (
        batch for epoch in count(1) for _, batch in stacked_batches(trials[0], trials, phase, [epoch] * len(trials))
    )

    def step() -> None:
        state["players"] = recipe.step(engine, trials[0], state["players"], next(endless)).players

    return step


def single_step(trial: Problem) -> Callable[[], object]:
    """The same step of one trial alone."""
    phase = main_phase(trial)
    state, engine, recipe = {"players": _main_players(trial)}, SoloEngine(), PHASES[phase]
    endless = (batch for epoch in count(1) for _, batch in batches(trial, phase, epoch))

    def step() -> None:
        state["players"] = recipe.step(engine, trial, state["players"], next(endless)).players

    return step


def _main_players(trial: Problem) -> Any:
    return PHASES[main_phase(trial)].start(SoloEngine(), trial, start(trial).cores, trial.config.seed)


def flops(shape: Shape, num_classes: int) -> float:
    """Floating-point operations of matrix products in a step of one trial: forward, and twice that backward."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    inner = max(num_sites - 2, 0) * physical_dim * bond_dim**2 + 2 * physical_dim * bond_dim
    return 3 * 2 * batch_size * (inner + num_classes * bond_dim**2)


def limit(shape: Shape) -> float:
    """Operations a second of the fastest batched product at the shape of a site of all lanes, forward and backward."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    inner = physical_dim if num_sites == 2 else physical_dim * bond_dim
    left, right = torch.randn(2 * LANES, bond_dim, inner), torch.randn(2 * LANES, inner, batch_size)
    slope = torch.randn(2 * LANES, bond_dim, batch_size)
    layouts = (
        lambda: (torch.bmm(left, right), torch.bmm(left.mT, slope), torch.bmm(slope, right.mT)),
        lambda: (torch.bmm(right.mT, left.mT), torch.bmm(slope.mT, left), torch.bmm(right, slope.mT)),
    )
    work = 3 * 2 * 2 * LANES * bond_dim * inner * batch_size
    return max(work / milliseconds(layout, 30, 5) for layout in layouts) * 1e3


def run() -> list[Result]:
    """The classification step at four shapes, and the other recipes' at the first."""
    columns = ("N, d, D, B", "pack ms a trial", "alone ms", "tensorkrowch ms", "to tensorkrowch", "asked", "to alone")
    table = Result(f"packed classification step, {LANES} lanes", (*columns, "asked ", "GF/s", "of limit", "asked  "))
    for shape, asked in SHAPES.items():
        num_classes = 2 if shape == FIRST else 10
        trials = problems("classification", shape, num_classes)
        runs = 15 if shape[0] < 100 else 7
        step = packed_step(trials)
        packed, theirs = paired(step, tensorkrowch_step(shape, num_classes), runs)
        again, alone = paired(step, single_step(trials[0]), runs)
        each, rate = packed / LANES, flops(shape, num_classes) * LANES / packed * 1e3
        ratios = (theirs / each, asked[0], alone * LANES / again, asked[1])
        table.rows.append((str(shape), each, alone, theirs, *ratios, rate / 1e9, rate / limit(shape), asked[2]))
    others = Result("packed steps of the other recipes", ("recipe", "pack ms a trial", "alone ms", "ratio", "asked"))
    for recipe in ("gan", "generative", "adversarial"):
        trials = problems(recipe, FIRST, 2)
        packed, alone = paired(packed_step(trials), single_step(trials[0]), 7)
        others.rows.append((recipe, packed / LANES, alone, alone * LANES / packed, ASKED))
    return [table, others]
