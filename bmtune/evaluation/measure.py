"""Measuring metrics by name: what is needed is computed once and shared."""

from collections.abc import Iterable

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.config.metrics import known_metric
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.likelihood import likelihood_metrics
from bmtune.evaluation.robustness import is_robustness
from bmtune.evaluation.robustness import robustness_metrics
from bmtune.evaluation.samples import draw_samples
from bmtune.evaluation.samples import sample_metrics

SAMPLED = frozenset({"fid", "outliers"})
"""The metrics that need samples; accuracies under attack need attacks, and the others one forward pass."""


def measure(
    names: Iterable[str], chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, *, seed: int
) -> dict[str, float]:
    """The metrics called `names` of a Born machine on the rows of a split.

    acc, loss and genloss share one pass over the rows; fid and outliers share one set of
    samples; accuracies under attack share attacks. What is not finite is returned as it is: the
    training loop decides what that means.

    Args:
        names: Names in `bmtune.config.metrics.METRICS`, or such as `rob/0.1`.
        chain: Embedding and shape.
        cores: The cores, on the device that computes.
        split: Real rows, on any device.
        config: How samples are drawn and compared, and how rows are attacked.
        seed: Determines the samples and where attacks start.

    Returns:
        The value of each metric, in the order of `names`.

    Raises:
        ValueError: No metric has one of the names.
        DataError: fid or outliers is asked for where a class has fewer than 2 rows.
    """
    wanted = [known_metric(name).name for name in names]
    found: dict[str, float] = {}
    attacked = [name for name in wanted if is_robustness(name)]
    if not SAMPLED.union(attacked).issuperset(wanted):
        found |= likelihood_metrics(chain, cores, split)
    if attacked:
        found |= robustness_metrics(attacked, chain, cores, split, config, seed=seed)
    if not SAMPLED.isdisjoint(wanted):
        drawn = draw_samples(chain, cores, config, seed)
        found |= sample_metrics(split.x, split.y, drawn, chain.embedding.data_interval, config.num_neighbours)
    return {name: found[name] for name in wanted}
