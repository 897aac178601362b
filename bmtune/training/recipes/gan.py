"""GAN-style training: a critic tells samples of the Born machine from real rows.

Mossi, Zunkovic and Flouris 2024 (arXiv 2406.17441). For each batch of real rows: sample without
gradient, `steps` critic steps, sample with gradient, one generator step.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bmtune.born import Cores
from bmtune.born import sample
from bmtune.config.critic import WassersteinGradientPenalty
from bmtune.config.training import GANStyleConfig
from bmtune.critics import critic_scores
from bmtune.critics import start_critic
from bmtune.data import discrimination_batches
from bmtune.objectives import critic_bce
from bmtune.objectives import critic_wasserstein
from bmtune.objectives import generator_bce
from bmtune.objectives import generator_wasserstein
from bmtune.objectives import gradient_penalty
from bmtune.training.engine import Engine
from bmtune.training.engine import Params
from bmtune.training.problem import Problem
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Step
from bmtune.training.recipes.base import watched_norm
from bmtune.training.seeds import derive


class GanStyle:
    """The Born machine as generator against a critic; the first player generates, the second tells."""

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`."""
        config = problem.config.trainer.ganstyle
        return PhaseRules(config.max_epoch, config.patience, config.stop_crit, config.metrics)

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """See `Recipe.start`: a new critic, trained alone for `pretrain_epochs` passes."""
        config = problem.config.trainer.ganstyle
        tensors = problem.critic or start_critic(problem.critic_shape, derive(seed, "critic"), problem.chain.real_dtype)
        placed = tuple(tensor.to(problem.device, problem.chain.real_dtype) for tensor in tensors)
        critic = Player.start(config.critic.optimizer, placed)
        born = Player.start(config.optimizer, tuple(cores))
        for epoch in range(config.critic.pretrain_epochs):
            for _, (real, uniforms, mixing) in self.batches(problem, derive(seed, "critic", epoch), epoch):
                generated = engine.call(self._sample(problem), born.params, uniforms[0])
                critic, _ = self._critic_step(engine, problem, critic, (real, generated, mixing[0]))
        return born, critic

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
        config = problem.config.trainer.ganstyle
        real, uniforms, mixing = batch
        born, critic = players
        draw = self._sample(problem)
        generated = engine.call(draw, born.params, uniforms[0])
        for share in mixing.unbind(0):
            critic, critic_loss = self._critic_step(engine, problem, critic, (real, generated, share))

        def loss(params: Params, critic_params: Params, draws: Tensor) -> Tensor:
            scores = critic_scores(problem.critic_shape, critic_params, draw(params, draws))
            return generator_bce(scores) if config.critic.loss.name == "bce" else generator_wasserstein(scores)

        value, grads = engine.value_and_grad(loss, born.params, critic.params, uniforms[1])
        norm = watched_norm(grads, born.optimizer.step, config.watch_freq)
        born = Player(*engine.update(config.optimizer, born.params, grads, born.optimizer))
        return Step((born, critic), {"train/g_loss": value, "train/d_loss": critic_loss, **norm})

    def _sample(self, problem: Problem) -> Any:
        grid, gram = problem.grid, problem.gram

        def draw(params: Params, uniforms: Tensor) -> Tensor:
            return sample(Cores(*params), grid, gram, uniforms)

        return draw

    def _critic_step(
        self, engine: Engine, problem: Problem, critic: Player, batch: tuple[Tensor, ...]
    ) -> tuple[Player, Tensor]:
        """One update of the critic on real rows, generated rows and mixing shares."""
        config = problem.config.trainer.ganstyle.critic
        value, grads = engine.value_and_grad(
            critic_loss(problem.config.trainer.ganstyle, problem), critic.params, *batch
        )
        return Player(*engine.update(config.optimizer, critic.params, grads, critic.optimizer)), value


def critic_loss(config: GANStyleConfig, problem: Problem) -> Any:
    """The critic's loss as a function of (params, real (S, C, N), generated (S', C, N), mixing shares)."""
    shape, game = problem.critic_shape, config.critic.loss

    def loss(params: Params, real: Tensor, generated: Tensor, mixing: Tensor) -> Tensor:
        def score(rows: Tensor) -> Tensor:
            return critic_scores(shape, params, rows)

        if not isinstance(game, WassersteinGradientPenalty):
            return critic_bce(score(real), score(generated))
        pairs = mixing.shape[0]
        penalty = gradient_penalty(score, real[:pairs], generated[:pairs], mixing)
        return critic_wasserstein(score(real), score(generated)) + game.gradient_penalty * penalty

    return loss
