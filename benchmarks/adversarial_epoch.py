"""One PGD-AT epoch on moons_4k: 10 steps in L2, legendre d=10 D=6, batches of 256, accuracy under attack measured."""

from statistics import median

from benchmarks.table import Result
from bmtune.born import get_embedding
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import start

ASKED = 0.5
"""Seconds an epoch is asked to take at most."""


def run() -> list[Result]:
    """The median epoch, validation included."""
    own = {"batch_size": 256, "max_epoch": 9, "attack": {"name": "pgd", "norm": "l2", "steps": 10}}
    raw = {"recipe": "adversarial", "data": {"dataset": "moons_4k"}, "trainer": {"adversarial": own}}
    config = TrialConfig.model_validate(raw)
    problem = make_problem(config, DataHandler(config.data, get_embedding(config.born.embedding).data_interval))
    state, seconds = start(problem), []
    while not state.status.ended:
        state, report = advance(problem, state)
        seconds.append(report.seconds)
    found = median(seconds)
    return [Result("PGD-AT epoch on moons_4k", ("seconds", "asked", "met"), [(found, ASKED, found <= ASKED)])]
