from collections.abc import Callable
from typing import Any

from bmtune.reports.failures import failures_of


def test_trials_that_fail_alike_are_one_cause(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(
        told([0.5]),
        told(status="failed", reason="out of memory", error="Traceback: 17 GB"),
        told([0.5], status="failed", reason="the loss was 1.5e3"),
        told([0.5], status="failed", reason="the loss was 2.5e9"),
    )
    found = failures_of(read.history)
    assert [(failure.reason, failure.trials) for failure in found] == [
        ("the loss was 1.5e3", (2, 3)),
        ("out of memory", (1,)),
    ]
    assert [failure.error for failure in found] == [None, "Traceback: 17 GB"]
