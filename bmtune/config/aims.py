"""Objectives and constraints by their names."""

from functools import lru_cache

from bmtune.config.constraints import parse_constraint
from bmtune.config.metrics import known_metric
from bmtune.records import Aims
from bmtune.records import Objective


# Every epoch of every trial asks for the same few.
@lru_cache(maxsize=64)
def aims_of(metrics: tuple[str, ...], constraints: tuple[str, ...] = ()) -> Aims:
    """What these metrics and constraints aim at.

    Raises:
        ValueError: A name is no metric, or a text no constraint.
    """
    objectives = tuple(Objective(metric=name, mode=known_metric(name).direction) for name in metrics)
    return Aims(objectives, tuple(map(parse_constraint, constraints)))
