"""What must be equal for two trials to be advanced together."""

import json
from functools import lru_cache
from math import log2
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from bmtune.config.base import Lane
from bmtune.config.lanes import SECTIONS
from bmtune.config.paths import get
from bmtune.training import Problem
from bmtune.training import TrialState


def pack_key(problem: Problem, state: TrialState) -> str:
    """A text that is equal for trials whose next epochs can be one batched program.

    It holds all of the phase's configuration that is not marked as a lane's own, network, data, evaluation and device,
    the training rows of each class, on which the number of batches depends, and the buckets of the bond and physical
    dimensions.
    """
    config = problem.config
    content = {
        "phase": state.phase,
        "section": shared(get(config, SECTIONS[state.phase])),
        "born": shared(config.born),
        "data": shared(config.data),
        "split_seed": config.data.split_seed if problem.splits["train"].x.numel() > MOST_JOINED else None,
        "rows": _rows_by_class(problem.splits["train"].y),
        "evaluation": config.evaluation.model_dump(mode="json"),
        "device": str(problem.device),
        "bond_dim": bucket(config.born.bond_dim),
        "physical_dim": bucket(config.born.physical_dim),
    }
    return json.dumps(content, sort_keys=True)


MOST_JOINED = 1 << 23
"""Numbers in training rows up to which trials on different splits share a pack: it holds the rows of all splits once
more, and trials on larger rows gain less from company."""


@lru_cache(maxsize=64)
def _rows_by_class(labels: Tensor) -> tuple[int, ...]:
    return tuple(torch.bincount(labels).tolist())


def bucket(size: int) -> int:
    """The number of the bucket of a size: k for sizes from 2^(k/2) to below 2^((k+1)/2); small ones share the first.

    So padding never doubles the work of an axis, except among small sizes, where that measures better.
    """
    # Sizes are whole: powers of two meet their bucket's lower end exactly, and no other size meets one.
    return int(2 * log2(max(size, SMALL)))


SMALL = 8
"""Sizes up to this one, and those of its bucket, share one: such a trial mostly waits for kernels to start.

16 trials with bond dimensions from 2 to 8 trained an epoch in one pack 3.0 (classification), 3.1 (generative), 2.2
(adversarial) and 1.4 (GAN) times as fast as in a pack for each power of the square root of 2, at d = 10 and batches of
256 on moons_4k, and 1.9 times on the 64 sites of digits; from 2 to 11 it was 1.2 to 2.9 times, with 2 and 8 alone 1.1
to 1.4 (`python -m benchmarks buckets`, one thread).
"""


def shared(model: BaseModel) -> dict[str, Any]:
    """The fields of a configuration that trials of one pack share; of those that differ, whether they are 0 if told."""
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        marks = [mark for mark in info.metadata if isinstance(mark, Lane)]
        if not marks:
            found[name] = shared(value) if isinstance(value, BaseModel) else _plain(value)
        elif any(mark.zero_apart for mark in marks):
            found[f"{name} > 0"] = bool(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
