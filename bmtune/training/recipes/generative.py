"""Generative training: the likelihood of p(x, c), alone or mixed with that of p(c|x)."""

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.born import log_partitions
from bmtune.born import log_weights
from bmtune.config.lanes import SECTIONS
from bmtune.data import class_batches
from bmtune.objectives import joint_nll
from bmtune.objectives import mixed_nll
from bmtune.objectives import norm_penalty
from bmtune.training.engine import Engine
from bmtune.training.engine import Number
from bmtune.training.player import Params
from bmtune.training.problem import Problem
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Step
from bmtune.training.rows import embedded
from bmtune.training.rows import row_batches


class Generative:
    """Training by likelihood. The second player never moves: it holds the target of log Z."""

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`."""
        config = problem.config.trainer.generative
        return PhaseRules(config.max_epoch, config.patience, config.stop_crit, config.metrics, config.watch_freq)

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """See `Recipe.start`."""
        config = problem.config.trainer.generative
        if config.norm_control.target == "start":
            target = engine.call(lambda *tensors: _log_partition(tensors, problem), *cores)
        else:
            target = cores.edge.real.new_tensor(config.norm_control.target).log()
        return Player.start(config.optimizer, tuple(cores)), Player.held((target,))

    def batches(self, problem: Problem, seed: int, epoch: int) -> Iterable[tuple[int, tuple[Any, ...]]]:
        """See `Recipe.batches`: numbers (B,) of rows; with a user's criterion the rows (B, N) and labels (B,)."""
        batch_size = problem.config.trainer.generative.batch_size
        if problem.criterion is None:
            return row_batches(problem, batch_size, seed)
        train, generator = problem.splits["train"], torch.Generator().manual_seed(seed)
        return ((len(y), (x, y)) for x, y in class_batches(train.x, train.y, batch_size, generator))

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """See `Recipe.step`."""
        config = problem.config.trainer.generative
        born, held = players
        loss = _built_in(problem) if problem.criterion is None else _written_by_user(problem)
        alpha = engine.number(problem, f"{_SECTION}.criterion.alpha") if config.criterion.name == "mixed" else 1.0
        penalty = engine.number(problem, f"{_SECTION}.norm_control.penalty")
        given = embedded(problem, *batch) if problem.criterion is None else batch
        value, grads = engine.value_and_grad(loss, born, *given, *held.params, alpha, penalty)
        moved = engine.update(problem, f"{_SECTION}.optimizer", born, grads)
        due = engine.due(moved.optimizer, config.norm_control.every)
        if due is not False:
            when = torch.as_tensor(due, device=problem.device)
            moved = moved._replace(params=engine.call(_rescaled(problem), moved.params, *held.params, when))
        return Step((moved, held), {"train/loss": value}, grads)


_SECTION = SECTIONS["gen"]


def _rescaled(problem: Problem) -> Callable[..., Params]:
    """The cores times one factor that brings Z to its target: Z is of degree 2 (N + 1) in it."""
    num_tensors = problem.chain.num_sites + 1

    def rescaled(params: Params, log_target: Tensor, when: Tensor) -> Params:
        factor = ((log_target - _log_partition(params, problem)) / (2 * num_tensors)).exp()
        factor = torch.where(when, factor, 1.0)
        return tuple(param * factor for param in params)

    return rescaled


def _log_partition(tensors: Params, problem: Problem) -> Tensor:
    return log_partitions(Cores(*tensors), problem.gram).logsumexp(0)


def _built_in(problem: Problem) -> Callable[..., Tensor]:
    config = problem.config.trainer.generative
    mixed, penalized = config.criterion.name == "mixed", config.norm_control.penalty > 0

    def loss(params: Params, phi: Tensor, labels: Tensor, log_target: Tensor, alpha: Number, penalty: Number) -> Tensor:
        cores = Cores(*params)
        weights, partitions = log_weights(cores, phi), log_partitions(cores, problem.gram)
        value = mixed_nll(weights, labels, partitions, alpha) if mixed else joint_nll(weights, labels, partitions)
        return value + penalty * norm_penalty(partitions, log_target) if penalized else value

    return loss


def _written_by_user(problem: Problem) -> Callable[..., Tensor]:
    criterion, penalized = problem.criterion, problem.config.trainer.generative.norm_control.penalty > 0
    assert criterion is not None, "a problem without one takes the built-in loss"

    def loss(params: Params, x: Tensor, labels: Tensor, log_target: Tensor, alpha: Number, penalty: Number) -> Tensor:
        machine = BornMachine(problem.chain, Cores(*params))
        value = criterion(machine, x, labels)
        return value + penalty * norm_penalty(machine.log_class_partitions(), log_target) if penalized else value

    return loss
