from collections.abc import Callable
from typing import Any

from bmtune.reports.cost import cost_of


def test_every_epoch_of_the_full_budget_is_accounted_for(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(
        told([0.5] * 9),
        told([0.5] * 3, status="pruned", reason="stopped at rung 3", rungs={3: "stop"}),
        told([0.5] * 4, reason="patience is over"),
        told([0.5] * 2, status="failed", reason="the loss is not finite"),
        told([0.5] * 5, status="pruned", reason="the time budget is over"),
        told([0.5], status=None),
        ended=False,
    )
    cost = cost_of(read.history)
    assert cost.full == 6 * 9
    assert cost.main == 9 + 3 + 4 + 2 + 5 + 1
    assert cost.untrained == {"held": 6, "by itself": 5, "failed": 7, "cut off": 4, "still going": 8}
    assert cost.full == cost.main + sum(cost.untrained.values())
    assert cost.epochs == {"pre": 24}
    assert cost.trained_s == 48.0
    assert cost.wall_s == read.history.seconds


def test_a_run_without_trials_cost_nothing(recorded: Callable[..., Any]):
    cost = cost_of(recorded(ended=False).history)
    assert (cost.full, cost.main, cost.trained_s, cost.untrained) == (0, 0, 0, {})
