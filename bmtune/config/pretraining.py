"""What of a configuration determines the `pre` phase, and which searches have trials that pre-train alike."""

from collections.abc import Iterable

from pydantic import JsonValue

from bmtune.config.dimensions import FloatDimension
from bmtune.config.metrics import PICTURE
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import MAIN_PHASE
from bmtune.config.space_model import SearchSpace

WITHOUT_SETTINGS = ("acc", "loss", "genloss", PICTURE)
"""Metrics whose values do not depend on how samples are drawn and rows are attacked."""


def pretraining_part(config: TrialConfig) -> dict[str, JsonValue]:
    """All of a configuration that pre-training depends on, besides the content of the data.

    The recipe is no part of it: every trainer pre-trains in the same way.
    """
    pre = config.trainer.classification
    return {
        "born": config.born.model_dump(mode="json"),
        "trainer.classification": pre.model_dump(mode="json"),
        "evaluation": config.evaluation.model_dump(mode="json") if _has_settings(dict(pre.metrics)) else None,
        "seed": config.start_seed,
    }


def _has_settings(names: Iterable[str]) -> bool:
    return any(name not in WITHOUT_SETTINGS for name in names)


def pretrains_alike(space: SearchSpace) -> bool:
    """Whether some trials of a search would pre-train alike if they had one seed for it.

    Where pre-training depends on a searched real number, no two trials do.
    """
    searched = dict(space.parameters)
    if not space.base.pretrains and f"{MAIN_PHASE[space.trainer]}.pretrain" not in searched:
        return False
    return not any(
        isinstance(dimension, FloatDimension)
        and dimension.step is None
        and not dimension.when
        and _enters(path, dimension, space)
        for path, dimension in searched.items()
    )


def _enters(path: str, dimension: FloatDimension, space: SearchSpace) -> bool:
    """Whether pre-training depends on a searched number."""
    ends = (with_values(space.base, {path: value}, space.source) for value in (dimension.low, dimension.high))
    low, high = map(pretraining_part, ends)
    return low != high
