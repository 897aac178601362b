"""A trial's state as named tensors and plain facts, and back: what a checkpoint holds."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bmtune.born import Cores
from bmtune.records import Point
from bmtune.training.optimizers import OptimizerState
from bmtune.training.player import Player
from bmtune.training.player import Players
from bmtune.training.problem import Problem
from bmtune.training.state import TrialState
from bmtune.training.status import Status
from bmtune.training.watch import Best

PLAIN = ("phase", "visit_epoch", "budget", "epochs", "seconds", "target", "goal")


def to_checkpoint(state: TrialState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as tensors by name and facts that JSON can hold."""
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {name: _plain(getattr(state, name)) for name in PLAIN}
    facts["status"] = state.status.name
    for name, players in (("players", state.players), ("main_players", state.main_players)):
        facts[name] = (
            None if players is None else [_save_player(f"{name}/{i}", p, tensors) for i, p in enumerate(players)]
        )
    for name, best in (("best", state.best), ("main_best", state.main_best)):
        facts[name] = None if best is None else _plain_best(best)
        if best is not None:
            tensors |= {f"{name}/{part}": tensor for part, tensor in best.cores._asdict().items()}
    return tensors, facts


def from_checkpoint(problem: Problem, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> TrialState:
    """The inverse of `to_checkpoint`, on the problem's device."""
    placed = {name: tensor.to(problem.device) for name, tensor in tensors.items()}
    return TrialState(
        **{name: facts[name] for name in PLAIN},
        status=Status[facts["status"]],
        players=_load_players("players", facts, placed) or (),
        main_players=_load_players("main_players", facts, placed),
        best=_load_best("best", facts, placed),
        main_best=_load_best("main_best", facts, placed),
    )


def _plain_best(best: Best) -> dict[str, Any]:
    found: dict[str, Any] = {"epoch": best.epoch, "metrics": best.metrics}
    if best.front:
        found["front"] = [{"costs": list(point.costs), "violation": point.violation} for point in best.front]
    return found


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _save_player(name: str, player: Player, tensors: dict[str, Tensor]) -> dict[str, int]:
    groups = {"params": player.params, "first": player.optimizer.first, "second": player.optimizer.second}
    for group, members in groups.items():
        tensors |= {f"{name}/{group}/{i}": tensor for i, tensor in enumerate(members)}
    return {"step": int(player.optimizer.step), **{group: len(members) for group, members in groups.items()}}


def _load_players(name: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Players | None:
    if facts[name] is None:
        return None
    return tuple(_load_player(f"{name}/{i}", counts, tensors) for i, counts in enumerate(facts[name]))


def _load_player(name: str, counts: Mapping[str, int], tensors: Mapping[str, Tensor]) -> Player:
    def group(part: str) -> tuple[Tensor, ...]:
        return tuple(tensors[f"{name}/{part}/{i}"] for i in range(counts[part]))

    return Player(group("params"), OptimizerState(counts["step"], group("first"), group("second")))


def _load_best(name: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Best | None:
    if facts[name] is None:
        return None
    cores = Cores(**{part: tensors[f"{name}/{part}"] for part in Cores._fields})
    front = tuple(Point(tuple(point["costs"]), point["violation"]) for point in facts[name].get("front", ()))
    return Best(facts[name]["epoch"], facts[name]["metrics"], cores, front)
