"""Accuracy under attack: `rob/<eps>` and `rob`, and the same under the strongest attacks known here, `rob_strong`.

Notation: `R` rows, `N` features, `C` classes, `K` starts of an attack.

A row survives a strength if its class is predicted on the clean row and on every attempt at this strength and at
the smaller strengths of the configuration: who falls inside a small ball falls inside a larger one. So no value
rises along the strengths of the configuration, at strength 0 all are the accuracy, and `rob_strong` is at most
`rob`. The attempts of pgd include the single step of fgm from the row itself: who falls to fgm has fallen to pgd.
"""

import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import torch
from jaxtyping import Float
from jaxtyping import Float64
from jaxtyping import Int64
from torch import Tensor

from bmtune.attacks import RowLoss
from bmtune.attacks import apgd
from bmtune.attacks import attack_noise
from bmtune.attacks import attempts
from bmtune.attacks import ball_noise
from bmtune.attacks import difference_of_logits
from bmtune.attacks import fgm
from bmtune.attacks import log_odds
from bmtune.attacks import make_ball
from bmtune.attacks import margin
from bmtune.attacks import perturbation_radius
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import log_weights
from bmtune.config.metrics import STRENGTH_FAMILIES
from bmtune.config.metrics import strength_of
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.likelihood import correct_rows
from bmtune.evaluation.models import for_each
from bmtune.evaluation.models import lanes_of

STRONG_STEPS = 50
"""Gradient steps of each start of auto-PGD."""
STRONG_RESTARTS = 2
"""Starts of auto-PGD for each of its losses."""
MAX_ELEMENTS = 2**23
"""Numbers that contracting a chunk of rows may keep for their gradient."""


def is_robustness(name: str) -> bool:
    """Whether the metric called `name` is an accuracy under attack."""
    return name.partition("/")[0] in STRENGTH_FAMILIES


def robustness_metrics(
    names: Iterable[str], chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, *, seed: int
) -> dict[str, float]:
    """Accuracies under attack, as shares of all rows of a split.

    A value depends on seed and configuration and not on what else is measured. A row without class
    probabilities, clean or attacked, makes it not a number.

    Args:
        names: Names for which `is_robustness` holds.
        chain: Embedding and shape.
        cores: The cores, on the device that computes.
        split: Rows in the interval, on any device.
        config: Strengths, and the attack behind `rob`.
        seed: Determines where attacks start.
    """
    names = list(names)
    return dict(zip(names, robustness_values(names, chain, cores, split, config, [seed]).tolist(), strict=True))


def robustness_values(
    names: Sequence[str],
    chain: Chain,
    cores: Cores,
    split: Split,
    config: EvaluationConfig,
    seeds: Sequence[int],
) -> Float64[Tensor, "*lanes names"]:
    """The values of `robustness_metrics` on the device, for one model or for lanes of several, each with its seed."""
    survival = _Survival(chain, cores, split, config, seeds)
    found = []
    for name in names:
        strength, strong = strength_of(name), name.startswith("rob_strong")
        strengths = config.strengths if strength is None else (strength,)
        survived = torch.stack([survival.of(radius, strong=strong).sum(-1) for radius in strengths])
        found.append((survived / len(split.y)).mean(0))
    return torch.stack(found, -1)


class _Survival:
    """Which rows survive which strength, each attacked once.

    Several models are attacked at once: every lane has the same rows, and moves them on its own. Rows that have
    fallen are not attacked again, but where there are lanes, since in each of them others have fallen.
    """

    def __init__(
        self, chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, seeds: Sequence[int]
    ) -> None:
        self._chain, self._config, self._seeds = chain, config, seeds
        self._cores = Cores(*(core.detach() for core in cores))
        self._lanes = lanes_of(cores)
        self._x = split.x.to(cores.edge.device, chain.real_dtype)
        self._y = split.y.to(cores.edge.device)
        self._found: dict[tuple[float, bool], Tensor] = {}

    def of(self, strength: float, *, strong: bool) -> Float64[Tensor, "*lanes R"]:
        """1 for a row that survives, 0 for one that falls, NaN for one without class probabilities."""
        key = strength, strong and strength > 0
        if key not in self._found:
            self._found[key] = self._attacked(strength, strong=strong) if strength > 0 else self._clean()
        return self._found[key]

    def _clean(self) -> Tensor:
        return torch.cat([self._correct(self._rows(part), part) for part in self._chunks(self._all_rows)], -1)

    def _attacked(self, strength: float, *, strong: bool) -> Tensor:
        below = max((smaller for smaller in self._config.strengths if smaller < strength), default=0.0)
        alive = self.of(below, strong=strong)
        if strong:
            alive = torch.minimum(alive, self.of(strength, strong=False))
        radius = perturbation_radius(strength, self._chain.embedding.data_interval)
        for number, noise in enumerate(self._strong_noise() if strong else self._weak_noise()):
            alive = alive.clone()
            for part in self._chunks(self._all_rows if self._lanes else (alive == 1).nonzero().squeeze(1)):
                starts = radius * noise[..., part, :]
                found = self._strong(part, starts, radius, number) if strong else self._weak(part, starts, radius)
                survives = torch.stack([self._correct(x, part) for x in found.unbind(-3)]).amin(0)
                before = alive[..., part]
                alive[..., part] = torch.where(before == 1, survives, before)
        return alive

    def _weak_noise(self) -> Iterator[Tensor]:
        dtype = self._x.dtype
        yield self._drawn(lambda one: attack_noise(self._config.attack, self._shape, one, dtype), self._generators(0))

    def _strong_noise(self) -> Iterator[Tensor]:
        shape, dtype = (STRONG_RESTARTS, *self._shape), self._x.dtype
        generators = self._generators(1)
        for _ in range(2):
            yield self._drawn(lambda one: ball_noise(self._config.attack.norm, shape, one, dtype), generators)

    def _generators(self, offset: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed + offset) for seed in self._seeds]

    def _drawn(
        self, draw: Callable[[torch.Generator], Tensor], generators: list[torch.Generator]
    ) -> Float[Tensor, "*lanes K R N"]:
        noise = torch.stack([draw(generator) for generator in generators]).to(self._x.device)
        return noise if self._lanes else noise.squeeze(0)

    @property
    def _shape(self) -> tuple[int, int]:
        return self._x.shape[0], self._x.shape[1]

    @property
    def _all_rows(self) -> Int64[Tensor, " R"]:
        return torch.arange(len(self._y), device=self._y.device)

    def _rows(self, part: Int64[Tensor, " B"]) -> Float[Tensor, "*lanes B N"]:
        return self._x[part].expand(*self._lanes, -1, -1)

    def _weak(self, part: Int64[Tensor, " B"], starts: Float[Tensor, "*lanes K B N"], radius: float) -> Tensor:
        loss, interval = self._judged(log_odds, part), self._chain.embedding.data_interval
        rows, config = self._rows(part), self._config.attack
        found = attempts(config, loss, rows, starts, radius=radius, interval=interval)
        if config.name == "fgm":
            return found
        single = fgm(loss, make_ball(config.norm, rows, radius, interval), torch.zeros_like(rows.unsqueeze(-3)))
        return torch.cat((found, single), -3)

    def _strong(
        self, part: Int64[Tensor, " B"], starts: Float[Tensor, "*lanes K B N"], radius: float, number: int
    ) -> Tensor:
        second = difference_of_logits if self._chain.num_classes > 2 else margin
        loss = self._judged((log_odds, second)[number], part)
        ball = make_ball(self._config.attack.norm, self._rows(part), radius, self._chain.embedding.data_interval)
        return apgd(loss, ball, starts, steps=STRONG_STEPS)

    def _correct(self, x: Float[Tensor, "*lanes B N"], part: Int64[Tensor, " B"]) -> Float64[Tensor, "*lanes B"]:
        with torch.no_grad():
            return self._judged(correct_rows, part)(x)

    def _judged(self, judge: Callable[[Tensor, Tensor], Tensor], part: Int64[Tensor, " B"]) -> RowLoss:
        """What `judge` says of the log-weights of rows (*lanes, B, N) and the labels of this part."""
        labels = self._y[part]

        def judged(cores: Cores, rows: Tensor) -> Tensor:
            return judge(log_weights(cores, self._chain.features(rows)), labels)

        over_models = for_each(self._cores, judged)
        return lambda x: over_models(self._cores, x)

    def _chunks(self, rows: Int64[Tensor, " B"]) -> Sequence[Tensor]:
        kept = self._chain.num_sites * self._chain.physical_dim * (1 + self._cores.edge.shape[-2])
        kept *= math.prod(self._lanes)
        return torch.split(rows, max(1, MAX_ELEMENTS // kept)) if len(rows) else ()
