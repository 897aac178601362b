"""Best-so-far, patience and goals, as pure functions of what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

from bmtune.born import Cores
from bmtune.config.metrics import known_metric
from bmtune.records import Aims
from bmtune.records import Point
from bmtune.records import beats
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.status import Status


@dataclass(frozen=True)
class Best:
    """The best epoch so far.

    Attributes:
        epoch: Counted from 1 within its phase.
        metrics: What was measured then.
        cores: The cores then.
        front: With several objectives or constraints: what no epoch so far beats.
    """

    epoch: int
    metrics: dict[str, float]
    cores: Cores
    front: tuple[Point, ...] = ()


def better(best: Best | None, candidate: Best, stop_crit: str) -> Best | None:
    """The better of the two by `stop_crit`; an epoch at which it was not measured is never better."""
    if stop_crit not in candidate.metrics:
        return best
    metric = known_metric(stop_crit)
    incumbent = metric.worst if best is None else best.metrics[stop_crit]
    return candidate if metric.better(candidate.metrics[stop_crit], incumbent) else best


def latest_unbeaten(best: Best | None, candidate: Best, aims: Aims) -> Best | None:
    """The candidate, where no epoch before it equals or beats it in what counts; else the best one so far.

    With one objective and no constraint that is the first epoch with the best value, as `better` has it.
    """
    point = aims.point(candidate.metrics)
    front = () if best is None else best.front
    if point is None or any(known == point or beats(known, point) for known in front):
        return best
    return replace(candidate, front=(*(known for known in front if not beats(point, known)), point))


def reached(goal: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether there is a goal and every metric in it is at least as good as asked."""
    return bool(goal) and all(
        name in metrics and not known_metric(name).better(value, metrics[name]) for name, value in goal.items()
    )


def phase_status(
    rules: PhaseRules, epoch: int, best: Best | None, goal: Mapping[str, float], metrics: Mapping[str, float]
) -> Status:
    """Whether a phase ends after its epoch number `epoch`."""
    if reached(goal, metrics):
        return Status.GOAL_REACHED
    if epoch >= rules.max_epoch:
        return Status.FINISHED
    waited = epoch - (best.epoch if best else 0)
    # An epoch at which the watched metric was not measured cannot have failed to improve it.
    return Status.STOPPED_EARLY if waited >= rules.patience and rules.stop_crit in metrics else Status.RUNNING
