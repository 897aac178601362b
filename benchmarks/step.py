"""One training step of the class loss (embedding, forward, backward, Adam), against tensorkrowch's `MPSLayer`."""

from collections.abc import Callable
from itertools import count

import tensorkrowch
import torch

from benchmarks.table import Result
from benchmarks.timing import milliseconds
from benchmarks.timing import paired
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import make_problem
from bmtune.training import start
from bmtune.training.engine import SoloEngine
from bmtune.training.recipes import Classification

SHAPES = {(2, 10, 6, 256): 2.2, (64, 3, 10, 64): 2.0, (64, 3, 32, 64): 5.0, (196, 3, 20, 64): 2.5}
"""(N, d, D, B) and how many times as fast as tensorkrowch a step is asked to be."""


def rows(num_rows: int, num_sites: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows in [0, 1) with labels; speed does not depend on what they are."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(num_rows, num_sites, generator=generator)
    return x, torch.arange(num_rows) % num_classes


def our_step(shape: tuple[int, int, int, int], num_classes: int) -> Callable[[], object]:
    """A step of the classification recipe and the next batch, embedded, as training draws it."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    born = {"embedding": "fourier", "physical_dim": physical_dim, "bond_dim": bond_dim}
    trainer = {"classification": {"batch_size": batch_size, "optimizer": {"lr": 1e-3}}}
    config = TrialConfig.model_validate({"recipe": "classification", "born": born, "trainer": trainer})
    x, y = rows(32 * batch_size, num_sites, num_classes)
    problem = make_problem(config, DataHandler.from_arrays(x.numpy(), y.numpy(), config.data, (0.0, 1.0)))
    recipe, engine, state = Classification("pre"), SoloEngine(), {"players": start(problem).players}
    endless = (
        batch
        for epoch in count()
        for weight, batch in recipe.batches(problem, epoch, epoch + 1)
        if weight == batch_size
    )

    def step() -> None:
        state["players"] = recipe.step(engine, problem, state["players"], next(endless)).players

    return step


def tensorkrowch_step(shape: tuple[int, int, int, int], num_classes: int) -> Callable[[], object]:
    """The same step with tensorkrowch as its users write it: stacked, traced, probabilities clamped."""
    num_sites, physical_dim, bond_dim, batch_size = shape
    layer = tensorkrowch.models.MPSLayer(
        n_features=num_sites + 1,
        in_dim=physical_dim,
        out_dim=num_classes,
        bond_dim=bond_dim,
        init_method="randn_eye",
        std=1e-2,
    )
    layer.auto_stack, layer.auto_unbind = True, False
    layer.trace(torch.zeros(1, num_sites, physical_dim))
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    x, y = rows(batch_size, num_sites, num_classes)
    index = torch.arange(batch_size)

    def step() -> None:
        weight = layer(tensorkrowch.embeddings.fourier(x, dim=physical_dim)).square()
        probability = weight / weight.sum(-1, keepdim=True).clamp(min=1e-30)
        loss = -probability[index, y].clamp(min=1e-8).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def run() -> list[Result]:
    """The step at four shapes, and how time and memory grow with the number of sites."""
    table = Result("classification step", ("N, d, D, B", "ours ms", "tensorkrowch ms", "ratio", "asked", "met"))
    for shape, asked in SHAPES.items():
        num_classes = 2 if shape[0] == 2 else 10
        ours, theirs = paired(our_step(shape, num_classes), tensorkrowch_step(shape, num_classes), 25)
        table.rows.append((str(shape), ours, theirs, theirs / ours, asked, theirs / ours >= asked))
    return [table, _linear()]


def _linear() -> Result:
    table = Result("classification step, linear in N", ("N", "ours ms", "ms a site", "saved bytes a site"))
    for num_sites in (98, 196, 392, 784):
        step = our_step((num_sites, 3, 10, 64), 10)
        elapsed, saved = milliseconds(step, 7), _saved_bytes(step)
        table.rows.append((num_sites, elapsed, elapsed / num_sites, saved / num_sites))
    return table


def _saved_bytes(step: Callable[[], object]) -> int:
    """Bytes that the forward pass keeps for the backward pass, each storage once."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(sizes.values())
