"""GAN-style training: a critic tells samples of the Born machine from real rows.

Mossi, Zunkovic and Flouris 2024 (arXiv 2406.17441). For each batch of real rows: sample without
gradient, `steps` critic steps, sample with gradient, one generator step.
"""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bmtune.born import Cores
from bmtune.born import sample
from bmtune.config.critic import WassersteinGradientPenalty
from bmtune.config.lanes import SECTIONS
from bmtune.critics import critic_scores
from bmtune.critics import start_critic
from bmtune.data import discrimination_batches
from bmtune.objectives import critic_bce
from bmtune.objectives import critic_wasserstein
from bmtune.objectives import generator_bce
from bmtune.objectives import generator_wasserstein
from bmtune.objectives import gradient_penalty
from bmtune.training.engine import Engine
from bmtune.training.engine import Number
from bmtune.training.player import Params
from bmtune.training.problem import Problem
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Step
from bmtune.training.seeds import derive


class GanStyle:
    """The Born machine as generator against a critic; the first player generates, the second tells."""

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`."""
        config = problem.config.trainer.ganstyle
        return PhaseRules(config.max_epoch, config.patience, config.stop_crit, config.metrics, config.watch_freq)

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """See `Recipe.start`: a new critic."""
        config = problem.config.trainer.ganstyle
        tensors = problem.critic or start_critic(problem.critic_shape, derive(seed, "critic"), problem.chain.real_dtype)
        placed = tuple(tensor.to(problem.device, problem.chain.real_dtype) for tensor in tensors)
        return Player.start(config.optimizer, tuple(cores)), Player.start(config.critic.optimizer, placed)

    def batches(self, problem: Problem, seed: int, epoch: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """See `Recipe.batches`: real rows (S, C, N), uniforms of two samples (2, N, C, S), and critic mixing shares."""
        config, chain = problem.config.trainer.ganstyle, problem.chain
        generated = config.sampling.num_per_class
        num_real = max(1, round(config.r_real * generated))
        train, generator = problem.splits["train"], torch.Generator().manual_seed(seed)
        real_batches = discrimination_batches(train.x, train.y, chain.num_classes, num_real, generator)
        for real in real_batches:
            uniforms = torch.rand(
                (2, chain.num_sites, chain.num_classes, generated), generator=generator, dtype=chain.real_dtype
            )
            shape = (config.critic.steps, min(len(real), generated), chain.num_classes, 1)
            mixing = torch.rand(shape, generator=generator, dtype=chain.real_dtype)
            yield len(real), (real, uniforms.to(problem.device), mixing.to(problem.device))

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """See `Recipe.step`: `critic.steps` updates of the critic, one of the generator."""
        real, uniforms, mixing = batch
        born, critic = players
        first, second = uniforms.unbind(-4)
        generated = engine.call(_draw(problem), born.params, first)
        for share in mixing.unbind(-4):
            critic, told, _ = critic_step(engine, problem, critic, (real, generated, share))
        value, grads = engine.value_and_grad(_generator_loss(problem), born, critic.params, second)
        born = engine.update(problem, f"{_SECTION}.optimizer", born, grads)
        return Step((born, critic), {"train/g_loss": value, "train/d_loss": told}, grads)


class CriticStart(GanStyle):
    """The critic alone, against a Born machine that stands still: a phase of its own, with nothing to select by."""

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`: all epochs are trained, and nothing is measured on validation rows."""
        config = problem.config.trainer.ganstyle
        epochs = config.critic.pretrain_epochs
        return PhaseRules(epochs, patience=epochs, stop_crit="", metrics=(), watch_freq=config.watch_freq)

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """See `Recipe.step`: one update of the critic."""
        real, uniforms, mixing = batch
        born, critic = players
        generated = engine.call(_draw(problem), born.params, uniforms.select(-4, 0))
        critic, told, grads = critic_step(engine, problem, critic, (real, generated, mixing.select(-4, 0)))
        return Step((born, critic), {"train/d_loss": told}, grads)


_SECTION = SECTIONS["gan"]


def critic_step(
    engine: Engine, problem: Problem, critic: Player, batch: tuple[Tensor, ...]
) -> tuple[Player, Tensor, Params]:
    """One update of the critic on real rows, generated rows and mixing shares; its loss and gradient."""
    game = problem.config.trainer.ganstyle.critic.loss
    penalized = isinstance(game, WassersteinGradientPenalty)
    weight = engine.number(problem, f"{_SECTION}.critic.loss.gradient_penalty") if penalized else 0.0
    value, grads = engine.value_and_grad(critic_loss(problem), critic, *batch, weight)
    return engine.update(problem, f"{_SECTION}.critic.optimizer", critic, grads), value, grads


def critic_loss(problem: Problem) -> Callable[..., Tensor]:
    """The critic's loss as a function of (params, real (S, C, N), generated (S', C, N), mixing shares, penalty)."""
    shape, game = problem.critic_shape, problem.config.trainer.ganstyle.critic.loss

    def loss(params: Params, real: Tensor, generated: Tensor, mixing: Tensor, weight: Number) -> Tensor:
        def score(rows: Tensor) -> Tensor:
            return critic_scores(shape, params, rows)

        if not isinstance(game, WassersteinGradientPenalty):
            return critic_bce(score(real), score(generated))
        pairs = mixing.shape[0]
        penalty = gradient_penalty(score, real[:pairs], generated[:pairs], mixing)
        return critic_wasserstein(score(real), score(generated)) + weight * penalty

    return loss


def _draw(problem: Problem) -> Callable[..., Tensor]:
    """Sampling as a function of (cores, uniforms (N, C, S))."""
    grid, gram = problem.grid, problem.gram

    def draw(params: Params, uniforms: Tensor) -> Tensor:
        return sample(Cores(*params), grid, gram, uniforms)

    return draw


def _generator_loss(problem: Problem) -> Callable[..., Tensor]:
    """The generator's loss as a function of (cores, the critic's tensors, uniforms (N, C, S))."""
    draw, shape = _draw(problem), problem.critic_shape
    game = generator_bce if problem.config.trainer.ganstyle.critic.loss.name == "bce" else generator_wasserstein

    def loss(params: Params, critic_params: Params, uniforms: Tensor) -> Tensor:
        return game(critic_scores(shape, critic_params, draw(params, uniforms)))

    return loss
