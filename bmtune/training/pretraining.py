"""Pre-training as a result of its own: what determines it, what it leaves, and how a trial goes on from that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from typing import NamedTuple

from bmtune.born import Cores
from bmtune.config.pretraining import pretraining_part
from bmtune.config.root import TrialConfig
from bmtune.training.problem import Problem
from bmtune.training.recipes import PHASES
from bmtune.training.settle import is_finite
from bmtune.training.settle import on_to_main
from bmtune.training.state import TrialState
from bmtune.training.status import Status
from bmtune.training.trial import pictures

METHOD = 1
"""To be raised with every change after which `pre` leaves other cores than before."""


class Pretrained(NamedTuple):
    """What pre-training leaves.

    Attributes:
        cores: Those of its best epoch.
        epochs: How many epochs it took.
    """

    cores: Cores
    epochs: int


def pre_determined_by(config: TrialConfig, data_hash: str, device: str) -> dict[str, Any]:
    """All that determines what `pre` leaves, as JSON can hold it: equal facts, equal results.

    Results are equal bit for bit on one machine, and up to rounding on others with the same kind of device.

    Args:
        config: A configuration that pre-trains.
        data_hash: `DataHandler.content_hash`: split, interval and rows are part of it.
        device: Kind of the device, "cpu" or "cuda".
    """
    return {"method": METHOD, "data": data_hash, "device": device, **pretraining_part(config)}


def pre_pictures(problem: Problem, result: Pretrained) -> dict[str, bytes]:
    """The picture of what pre-training left as a PNG file by its name, where `pre` draws any."""
    cores = Cores(*(tensor.to(problem.device) for tensor in result.cores))
    return pictures(problem, "pre", cores, tuple(dict(PHASES["pre"].rules(problem).metrics)))


def pre_result(problem: Problem, state: TrialState) -> Pretrained | None:
    """What pre-training left, for the state right after its last epoch; None for any other."""
    fresh = state.phase != "pre" and state.visit_epoch == 0 and set(state.epochs) == {"pre"}
    if not problem.config.pretrains or not fresh or state.status.ended:
        return None
    return Pretrained(state.cores, state.epochs["pre"])


def with_pre_result(
    problem: Problem, result: Pretrained, goal: Mapping[str, float] | None = None
) -> tuple[TrialState, dict[str, float]]:
    """The state of a trial that has pre-trained, without training, and what its main phase starts from.

    It equals, bit for bit, the state that training `pre` leads to, but for the epochs and seconds that it counts.
    It has diverged where a metric of the start is not finite.

    Args:
        problem: What is trained.
        result: What pre-training left in a trial that equal facts determined.
        goal: Metrics of the main phase at which the trial may end early.

    Returns:
        The state, and its metrics as "start/...".
    """
    cores = Cores(*(tensor.to(problem.device) for tensor in result.cores))
    state, _, metrics = on_to_main(problem, TrialState("pre", (), target=dict(goal or {})), cores)
    return state if is_finite(state, metrics) else replace(state, status=Status.DIVERGED), metrics
