"""Trials of different sizes as one stack, and back.

Every tensor is padded with zeros to the largest of its place. A zero block of bond dimension has an exactly zero
gradient on both sides and stays zero under SGD, Adam and AdamW, so a padded trial computes the same function as alone;
a padded physical dimension sees features that are not zero, so there the gradient is masked.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from bmtune.training.optimizers import OptimizerState
from bmtune.training.player import Params
from bmtune.training.player import Player
from bmtune.training.player import Players


def stack_players(lanes: Sequence[Players]) -> Players:
    """The players of all trials, each tensor with a leading axis over them."""
    return tuple(_stack_player(players) for players in zip(*lanes, strict=True))


def unstack_players(stacked: Players, lanes: Sequence[Players]) -> list[Players]:
    """The inverse of `stack_players`: tensors of the sizes in `lanes`, which share no memory with the stack."""
    columns = [_unstack_player(player, own) for player, own in zip(stacked, zip(*lanes, strict=True), strict=True)]
    return list(zip(*columns, strict=True))


def stack_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors with zeros behind them, up to the largest size of each axis, stacked."""
    sizes = {tensor.shape for tensor in tensors}
    if len(sizes) == 1:
        return torch.stack(list(tensors))
    largest = [max(axis) for axis in zip(*(tensor.shape for tensor in tensors), strict=True)]
    padded = []
    for tensor in tensors:
        behind = [(0, most - size) for most, size in zip(largest, tensor.shape, strict=True)]
        padded.append(pad(tensor, [edge for pair in reversed(behind) for edge in pair]))
    return torch.stack(padded)


def _stack_player(players: Sequence[Player]) -> Player:
    params = _stack_params([player.params for player in players])
    states = [player.optimizer for player in players]
    optimizer = OptimizerState(
        torch.tensor([state.step for state in states]),
        _stack_params([state.first for state in states]),
        _stack_params([state.second for state in states]),
    )
    return Player(params, optimizer, _mask([player.params for player in players]))


def _stack_params(lanes: Sequence[Params]) -> Params:
    return tuple(stack_tensors(tensors) for tensors in zip(*lanes, strict=True))


def _mask(lanes: Sequence[Params]) -> Params | None:
    """Where the stacked tensors hold a trial's own numbers; None where no mask is needed.

    Only a padded physical dimension needs one, but it costs little where any axis was padded.
    """
    same = all(len({tensor.shape for tensor in tensors}) == 1 for tensors in zip(*lanes, strict=True))
    if same:
        return None
    return tuple(
        stack_tensors([torch.ones_like(tensor, dtype=torch.bool) for tensor in tensors])
        for tensors in zip(*lanes, strict=True)
    )


def _unstack_player(stacked: Player, own: Sequence[Player]) -> list[Player]:
    columns = [
        _unstack(stacked.params, [player.params for player in own]),
        _unstack(stacked.optimizer.first, [player.optimizer.first for player in own]),
        _unstack(stacked.optimizer.second, [player.optimizer.second for player in own]),
    ]
    steps = torch.as_tensor(stacked.optimizer.step).tolist()
    return [
        Player(params, OptimizerState(step, first, second))
        for params, first, second, step in zip(*columns, steps, strict=True)
    ]


def _unstack(stacked: Params, own: Sequence[Params]) -> list[Params]:
    """The parts of each trial, copied: a view would keep the tensors of all trials alive."""
    columns = [
        [lane[tuple(map(slice, like.shape))].clone() for lane, like in zip(tensor.unbind(0), sizes, strict=True)]
        for tensor, sizes in zip(stacked, zip(*own, strict=True), strict=True)
    ]
    return list(zip(*columns, strict=True)) if columns else [() for _ in own]
