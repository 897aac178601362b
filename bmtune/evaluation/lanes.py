"""The metrics of several models at once, each lane as if it were measured alone.

Notation: `P` lanes, `R` rows, `N` features, `S` samples a class, `C` classes.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.likelihood import LIKELIHOODS
from bmtune.evaluation.likelihood import embedded_chunks
from bmtune.evaluation.likelihood import likelihood_values
from bmtune.evaluation.measure import Asked
from bmtune.evaluation.measure import measure
from bmtune.evaluation.measure import real_rows
from bmtune.evaluation.models import lanes_of
from bmtune.evaluation.models import some_lanes
from bmtune.evaluation.robustness import STRONG_RESTARTS
from bmtune.evaluation.robustness import robustness_values
from bmtune.evaluation.samples import RealRows
from bmtune.evaluation.samples import draw_samples
from bmtune.evaluation.samples import sample_values

MAX_ELEMENTS = 2**23
"""Numbers that the samples, or the starts of attacks, of the lanes that are measured at once may hold."""


def measure_lanes(
    names: Iterable[str],
    chain: Chain,
    cores: Cores,
    split: Split,
    config: EvaluationConfig,
    *,
    seeds: Sequence[int],
    real: RealRows | None = None,
) -> list[dict[str, float]]:
    """What `measure` finds for each lane, from one pass, one set of samples and one attack for all of them.

    A lane whose numbers are not finite has the metrics that it has alone, and changes no bit of another's.

    Args:
        names: Names in `bmtune.config.metrics.METRICS`, or such as `rob/0.1`.
        chain: Embedding and shape of all lanes.
        cores: The cores, each with an axis of lanes in front; smaller bond dimensions are padded with zeros.
        split: Real rows, on any device.
        config: How samples are drawn and compared, and how rows are attacked.
        seeds: One a lane: the samples, and where attacks start.
        real: What `real_rows` found of the split, for who measures often; without it, it is found anew.

    Raises:
        ValueError: No metric has one of the names, or there are not as many seeds as lanes.
        DataError: fid or outliers is asked for where a class has fewer than 2 rows.
    """
    asked = Asked.of(names)
    if lanes_of(cores) != (len(seeds),):
        raise ValueError(f"every lane needs one seed, but got {len(seeds)} for cores of lanes {lanes_of(cores)}")
    if len(seeds) == 1:
        alone = Cores(*(core[0] for core in cores))
        return [measure(asked.names, chain, alone, split, config, seed=seeds[0], real=real)]
    found: list[dict[str, float]] = [{} for _ in seeds]
    if asked.forward:
        _fill(found, LIKELIHOODS, _likelihoods(chain, cores, split))
    if asked.attacked:
        _fill(found, asked.attacked, _attacked(asked.attacked, chain, cores, split, config, seeds=seeds))
    if asked.sampled:
        real = real or real_rows(chain, split, cores.edge.device)
        _fill(found, asked.sampled, _sampled(asked.sampled, chain, cores, real, config, seeds=seeds))
    return [{name: values[name] for name in asked.names} for values in found]


def _fill(found: list[dict[str, float]], names: Sequence[str], values: Float64[Tensor, "P names"]) -> None:
    for metrics, row in zip(found, values.tolist(), strict=True):
        metrics.update(zip(names, row, strict=True))


@torch.no_grad()
def _likelihoods(chain: Chain, cores: Cores, split: Split) -> Float64[Tensor, "P 3"]:
    # The rows are embedded inside, once for all lanes: they carry no axis of them.
    def one(own: Cores) -> Tensor:
        return likelihood_values(chain, own, embedded_chunks(chain, cores, split), len(split.y))

    values: Tensor = torch.vmap(one)(cores)
    return values


def _attacked(
    names: list[str], chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, *, seeds: Sequence[int]
) -> Float64[Tensor, "P names"]:
    held = max(STRONG_RESTARTS, config.attack.restarts) * split.x.numel()
    return torch.cat(
        [
            robustness_values(names, chain, some_lanes(cores, lanes), split, config, seeds[lanes])
            for lanes in _groups(len(seeds), held)
        ]
    )


@torch.no_grad()
def _sampled(
    names: list[str], chain: Chain, cores: Cores, real: RealRows, config: EvaluationConfig, *, seeds: Sequence[int]
) -> Float64[Tensor, "P names"]:
    held = config.num_samples * chain.num_classes * chain.num_sites
    found = []
    for lanes in _groups(len(seeds), held):
        drawn = draw_samples(chain, some_lanes(cores, lanes), config, seeds[lanes])
        found.append(sample_values(names, real, drawn, config.num_neighbours))
    return torch.cat(found)


def _groups(num_lanes: int, held: int) -> Iterator[slice]:
    """Lanes in groups, so that numbers of which each lane holds so many stay below `MAX_ELEMENTS`."""
    size = max(1, MAX_ELEMENTS // held)
    for start in range(0, num_lanes, size):
        yield slice(start, start + size)
