"""Metrics of several Born machines at once."""

from collections.abc import Iterable
from collections.abc import Sequence

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.measure import measure


def measure_lanes(
    names: Iterable[str], chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, *, seeds: Sequence[int]
) -> list[dict[str, float]]:
    """`measure` for machines whose tensors have a leading axis over them."""
    wanted = tuple(names)
    return [
        measure(wanted, chain, Cores(*(tensor[lane] for tensor in cores)), split, config, seed=seed)
        for lane, seed in enumerate(seeds)
    ]
