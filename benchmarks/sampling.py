"""Sampling 256 rows a class on 200 bins, and its backward pass."""

import torch

from benchmarks.table import Result
from benchmarks.timing import milliseconds
from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig

SHAPES = {(2, 10, 6): (15.0, 30.0), (12, 3, 10): (None, None), (24, 3, 10): (150.0, None), (48, 3, 10): (None, None)}
"""(N, d, D) and the milliseconds asked for, without and with the backward pass."""


def run() -> list[Result]:
    """Times at growing numbers of sites: the time a site should not grow."""
    table = Result(
        "sampling, 256 a class, 200 bins", ("N, d, D", "ms", "asked", "with backward ms", "asked for it", "ms a site")
    )
    for (num_sites, physical_dim, bond_dim), (asked, asked_backward) in SHAPES.items():
        config = BornConfig(physical_dim=physical_dim, bond_dim=bond_dim)
        machine = BornMachine.start(config, num_sites, 2)
        alone = milliseconds(lambda machine=machine: machine.sample(256, torch.Generator().manual_seed(0)), 9)
        leaves = Cores(*(tensor.clone().requires_grad_() for tensor in machine.cores))
        trained = BornMachine(machine.chain, leaves)

        def backward(trained: BornMachine = trained) -> None:
            trained.sample(256, torch.Generator().manual_seed(0)).sum().backward()

        shape = (num_sites, physical_dim, bond_dim)
        table.rows.append((str(shape), alone, asked, milliseconds(backward, 9), asked_backward, alone / num_sites))
    return [table]
