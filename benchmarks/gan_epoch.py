"""One GAN epoch on moons_4k: legendre d=10 D=6, 256 a class, 200 bins, 20 critic steps a batch."""

from statistics import median

from benchmarks.table import Result
from bmtune.born import get_embedding
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import start

ASKED = 1.5
"""Seconds an epoch is asked to take at most."""


def run() -> list[Result]:
    """The median GAN epoch, validation included."""
    trainer = {
        "classification": {"max_epoch": 3},
        "ganstyle": {"max_epoch": 7, "tolerance": 1.0, "critic": {"steps": 20}, "sampling": {"num_per_class": 256}},
    }
    config = TrialConfig.model_validate({"recipe": "gan", "data": {"dataset": "moons_4k"}, "trainer": trainer})
    problem = make_problem(config, DataHandler(config.data, get_embedding(config.born.embedding).interval))
    state, seconds = start(problem), []
    while not state.status.ended:
        state, report = advance(problem, state)
        if report.phase == "gan":
            seconds.append(report.seconds)
    found = median(seconds)
    return [Result("GAN epoch on moons_4k", ("seconds", "asked", "met"), [(found, ASKED, found <= ASKED)])]
