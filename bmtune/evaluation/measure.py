"""Measuring metrics by name: what is needed is computed once and shared."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.config.metrics import known_metric
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.likelihood import likelihood_metrics
from bmtune.evaluation.robustness import is_robustness
from bmtune.evaluation.robustness import robustness_metrics
from bmtune.evaluation.samples import SAMPLED
from bmtune.evaluation.samples import RealRows
from bmtune.evaluation.samples import draw_samples
from bmtune.evaluation.samples import sample_values


def measure(
    names: Iterable[str],
    chain: Chain,
    cores: Cores,
    split: Split,
    config: EvaluationConfig,
    *,
    seed: int,
    real: RealRows | None = None,
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
        real: What `real_rows` found of the split, for who measures often; without it, it is found anew.

    Returns:
        The value of each metric, in the order of `names`.

    Raises:
        ValueError: No metric has one of the names.
        DataError: fid or outliers is asked for where a class has fewer than 2 rows.
    """
    asked = Asked.of(names)
    found: dict[str, float] = {}
    if asked.forward:
        found |= likelihood_metrics(chain, cores, split)
    if asked.attacked:
        found |= robustness_metrics(asked.attacked, chain, cores, split, config, seed=seed)
    if asked.sampled:
        real = real or real_rows(chain, split, cores.edge.device)
        drawn = draw_samples(chain, cores, config, seed)
        values = sample_values(asked.sampled, real, drawn, config.num_neighbours)
        found |= dict(zip(asked.sampled, values.tolist(), strict=True))
    return {name: found[name] for name in asked.names}


def real_rows(chain: Chain, split: Split, device: torch.device) -> RealRows:
    """What fid and outliers need of the real rows of a split, whatever the model.

    Raises:
        DataError: A class has fewer than 2 rows.
    """
    return RealRows(split.x, split.y, chain.num_classes, chain.embedding.data_interval, device)


class Asked(NamedTuple):
    """Names of metrics, sorted by what they share: one pass over the rows, attacks, samples."""

    names: list[str]
    forward: list[str]
    attacked: list[str]
    sampled: list[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Asked":
        """The names as the metrics carry them; those of attacks and samples in their own lists.

        Raises:
            ValueError: No metric has one of the names.
        """
        wanted = [known_metric(name).name for name in names]
        attacked = [name for name in wanted if is_robustness(name)]
        sampled = [name for name in SAMPLED if name in wanted]
        forward = [name for name in wanted if name not in (*attacked, *sampled)]
        return cls(wanted, forward, attacked, sampled)
