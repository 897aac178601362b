"""A generative step against a classification step, and complex likelihoods against tensorkrowch's `MPS`."""

from collections.abc import Callable
from typing import Any

import tensorkrowch
import torch

from benchmarks.step import rows
from benchmarks.table import Result
from benchmarks.timing import paired
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import make_problem
from bmtune.training import start
from bmtune.training.engine import SoloEngine
from bmtune.training.recipes import PHASES
from bmtune.training.settle import main_phase

SHAPES = ((2, 10, 6, 256), (64, 3, 10, 64), (64, 3, 32, 64), (196, 3, 20, 64))
TIMES, FASTER = 2.0, 3.0
"""A generative step may take so many classification steps; and is asked to be so many times as fast as tensorkrowch."""
COMPLEX = (96, 3, 10, 100)


def recipe_step(
    recipe: str, shape: tuple[int, int, int, int], num_classes: int, dtype: str = "float32"
) -> Callable[[], object]:
    """A step of a recipe on one batch that stays the same."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    own: dict[str, Any] = {"batch_size": batch_size, "optimizer": {"lr": 1e-3}}
    config = TrialConfig.model_validate(
        {
            "recipe": recipe,
            "born": {"embedding": "fourier", "physical_dim": physical_dim, "bond_dim": bond_dim, "dtype": dtype},
            "trainer": {recipe: own},
        }
    )
    x, y = rows(4 * batch_size, num_sites, num_classes)
    problem = make_problem(config, DataHandler.from_arrays(x.numpy(), y.numpy(), config.data, (0.0, 1.0)))
    phase, engine, state = PHASES[main_phase(problem)], SoloEngine(), {"players": start(problem).players}
    batch = next(batch for _, batch in phase.batches(problem, 0, 1))

    def step() -> None:
        state["players"] = phase.step(engine, problem, state["players"], batch).players

    return step


def tensorkrowch_likelihood(shape: tuple[int, int, int, int], num_classes: int) -> Callable[[], object]:
    """A step of -log |psi|^2 + log Z with tensorkrowch's `MPS`, the class as one more basis vector, complex64."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    position = (num_sites + 1) // 2
    dims = [physical_dim] * num_sites
    dims.insert(position, num_classes)
    model = tensorkrowch.models.MPS(
        n_features=num_sites + 1,
        phys_dim=dims,
        bond_dim=bond_dim,
        init_method="randn_eye",
        std=1e-2,
        dtype=torch.complex64,
    )
    x, y = rows(batch_size, num_sites, num_classes)
    phi = tensorkrowch.embeddings.fourier(x, dim=physical_dim).to(torch.complex64)
    label = torch.nn.functional.one_hot(y, num_classes).to(torch.complex64)
    data = [*phi.unbind(1)[:position], label, *phi.unbind(1)[position:]]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        model.reset()
        amplitude = model(data)
        log_weight = 2 * amplitude.abs().log()
        model.reset()
        loss = 2 * model.norm(log_scale=True).real - log_weight.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def run() -> list[Result]:
    """Both comparisons."""
    steps = Result("generative step", ("N, d, D, B", "generative ms", "classification ms", "ratio", "asked", "met"))
    for shape in SHAPES:
        num_classes = 2 if shape[0] == 2 else 10
        own = recipe_step("generative", shape, num_classes)
        found, other = paired(own, recipe_step("classification", shape, num_classes), 15)
        steps.rows.append((str(shape), found, other, found / other, TIMES, found / other <= TIMES))
    rival = Result("complex64 likelihood step", ("N, d, D, B", "ours ms", "tensorkrowch ms", "ratio", "asked", "met"))
    ours, theirs = paired(recipe_step("generative", COMPLEX, 2, "complex64"), tensorkrowch_likelihood(COMPLEX, 2), 5, 1)
    rival.rows.append((str(COMPLEX), ours, theirs, theirs / ours, FASTER, theirs / ours >= FASTER))
    return [steps, rival]
