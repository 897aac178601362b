"""Adversarial training: of p(c|x) on rows that an attack has moved, or to change little where it moves them.

PGD-AT (Madry et al. 2018, arXiv 1706.06083) and TRADES (Zhang et al. 2019, arXiv 1901.08573).
"""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bmtune.attacks import RowLoss
from bmtune.attacks import attack
from bmtune.attacks import attack_noise
from bmtune.attacks import ball_noise
from bmtune.attacks import log_odds
from bmtune.attacks import perturbation_radius
from bmtune.born import Cores
from bmtune.born import log_weights
from bmtune.config.adversarial import AdversarialConfig
from bmtune.config.adversarial import TradesLoss
from bmtune.config.lanes import SECTIONS
from bmtune.data import class_batches
from bmtune.objectives import brier_rows
from bmtune.objectives import divergence_rows
from bmtune.objectives import mixed_adversarial
from bmtune.objectives import trades
from bmtune.training.engine import Engine
from bmtune.training.engine import Number
from bmtune.training.player import Params
from bmtune.training.problem import Problem
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Step
from bmtune.training.recipes.classification import CRITERIA

ROW_CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "negative log-likelihood": log_odds,
    "brier": brier_rows,
}
"""What an attack raises for each classification loss, row by row: the loss, or what has its direction and order."""

NEARBY = 1e-3
"""Standard deviation of the published start of TRADES, as a share of the interval's length."""


class Adversarial:
    """Training against an attack whose strength may grow over the first epochs.

    PGD-AT: (1 - w) L(x_adv) + w L(x), where x_adv raises L. TRADES: L(x) + beta KL(p(.|x) || p(.|x_adv)), where
    x_adv raises the divergence and the gradient passes through both of its sides. The divergence is flat at x
    itself, so TRADES never starts there: with `random_start` it starts uniformly in the ball, as PGD-AT does, and
    without it as published, at x plus Gaussian noise of a thousandth of the interval. PGD-AT without
    `random_start`, and its fgm always, start at x.
    """

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`."""
        config = _config(problem)
        return PhaseRules(config.max_epoch, config.patience, config.stop_crit, config.metrics, config.watch_freq)

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """See `Recipe.start`."""
        return (Player.start(_config(problem).optimizer, tuple(cores)),)

    def batches(self, problem: Problem, seed: int, epoch: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """See `Recipe.batches`: rows (B, N), labels (B,), displacements of the starts (K, B, N), radius (1, 1)."""
        config, chain = _config(problem), problem.chain
        interval = chain.embedding.data_interval
        strength = perturbation_radius(strength_at(config, epoch), interval)
        radius = torch.full((1, 1), strength, dtype=chain.real_dtype)
        train, generator = problem.splits["train"], torch.Generator().manual_seed(seed)
        for x, y in class_batches(train.x, train.y, config.batch_size, generator):
            starts = _starts(config, (x.shape[0], x.shape[1]), radius, interval, generator)
            yield len(y), (x, y, starts.to(problem.device), radius.to(problem.device))

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """See `Recipe.step`: the attack, with the cores held fixed, then one update on what it found."""
        (born,), (x, labels, noise, radius) = players, batch
        raised = _raised(engine, problem, born.params, x, labels)
        interval = problem.chain.embedding.data_interval
        attacked = attack(_config(problem).attack, raised, x, noise, radius=radius, interval=interval)
        weight = engine.number(problem, f"{_SECTION}.method.{_WEIGHTS[_config(problem).method.name]}")
        value, grads = engine.value_and_grad(_loss(problem), born, x, attacked, labels, weight)
        return Step((engine.update(problem, f"{_SECTION}.optimizer", born, grads),), {"train/loss": value}, grads)


_SECTION = SECTIONS["adv"]
_WEIGHTS = {"pgd-at": "clean_weight", "trades": "beta"}


def strength_at(config: AdversarialConfig, epoch: int) -> float:
    """The strength in epoch number `epoch`, as a fraction of the interval: linear up to `curriculum.until`."""
    start, until = config.curriculum.start, config.curriculum.until
    share = 1.0 if epoch >= until else start + (1 - start) * (epoch - 1) / (until - 1)
    return share * config.epsilon


def _config(problem: Problem) -> AdversarialConfig:
    return problem.config.trainer.adversarial


def _starts(
    config: AdversarialConfig,
    shape: tuple[int, int],
    radius: Tensor,
    interval: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Displacements of the attack's starts (K, B, N)."""
    if not isinstance(config.method, TradesLoss):
        return radius * attack_noise(config.attack, shape, generator, radius.dtype)
    starts = (config.attack.restarts, *shape)
    if config.attack.random_start:
        return radius * ball_noise(config.attack.norm, starts, generator, radius.dtype)
    scale = perturbation_radius(NEARBY, interval)
    return scale * torch.randn(starts, generator=generator, dtype=radius.dtype)


def _raised(engine: Engine, problem: Problem, params: Params, x: Tensor, labels: Tensor) -> RowLoss:
    """What the attack raises, for each row: rows (B, N) to (B,)."""
    config, chain = _config(problem), problem.chain
    criterion = ROW_CRITERIA[config.criterion.name]

    def weights(rows: Tensor, params: Params) -> Tensor:
        return log_weights(Cores(*params), chain.features(rows))

    def class_loss(rows: Tensor, params: Params, labels: Tensor) -> Tensor:
        return criterion(weights(rows, params), labels)

    def divergence(rows: Tensor, params: Params, clean: Tensor) -> Tensor:
        return divergence_rows(clean, weights(rows, params))

    if isinstance(config.method, TradesLoss):
        return engine.bind(divergence, params, engine.call(weights, x, params))
    return engine.bind(class_loss, params, labels)


def _loss(problem: Problem) -> Callable[..., Tensor]:
    """The outer loss as a function of (params, rows, attacked rows, labels, beta or the clean loss's weight)."""
    method, chain = _config(problem).method, problem.chain
    criterion = CRITERIA[_config(problem).criterion.name]

    def loss(params: Params, x: Tensor, attacked: Tensor, labels: Tensor, weight: Number) -> Tensor:
        cores = Cores(*params)
        # Not one batch of both: so the clean half is summed in the order of clean training.
        clean, moved = log_weights(cores, chain.features(x)), log_weights(cores, chain.features(attacked))
        if isinstance(method, TradesLoss):
            return trades(criterion(clean, labels), clean, moved, weight)
        return mixed_adversarial(criterion(clean, labels), criterion(moved, labels), weight)

    return loss
