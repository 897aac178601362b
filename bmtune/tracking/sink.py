"""Sinks: what takes measured values. The loop that writes to one never asks whether anybody listens."""

import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from typing import Protocol

from bmtune.tracking.keys import is_trace


class MetricSink(Protocol):
    """Takes what a training measures."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Values of one step; steps never fall."""
        ...

    def summary(self, values: Mapping[str, float]) -> None:
        """Values of the whole training."""
        ...

    def picture(self, name: str, png: bytes, step: int) -> None:
        """A picture of one step."""
        ...

    def close(self) -> None:
        """No more comes."""
        ...


class NullSink:
    """Takes everything and keeps nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `MetricSink.log`."""

    def summary(self, values: Mapping[str, float]) -> None:
        """See `MetricSink.summary`."""

    def picture(self, name: str, png: bytes, step: int) -> None:
        """See `MetricSink.picture`."""

    def close(self) -> None:
        """See `MetricSink.close`."""


class ActiveRunSink:
    """Logs into the W&B run that a user's own program has begun.

    That run counts its own steps, and other parts of the program may log to it: the step given here
    is left aside, and curves are to be drawn over `<phase>/epoch`, which is among the values.

    Args:
        wandb: The module, as the user's program imported it; its `run` is the active one.
    """

    def __init__(self, wandb: Any) -> None:
        self._wandb = wandb
        self._run = wandb.run
        self._defined: set[str] = set()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `MetricSink.log`."""
        define_metrics(self._run, values, self._defined)
        self._run.log(dict(values))

    def summary(self, values: Mapping[str, float]) -> None:
        """See `MetricSink.summary`."""
        self._run.summary.update(dict(values))

    def picture(self, name: str, png: bytes, step: int) -> None:
        """See `MetricSink.picture`."""
        from PIL import Image

        with Image.open(BytesIO(png)) as image:
            self._run.log({name: self._wandb.Image(image)})

    def close(self) -> None:
        """See `MetricSink.close`: the run is the user's to finish."""


def active_sink() -> MetricSink:
    """The user's W&B run where there is one; else nothing listens. Never imports wandb."""
    wandb = sys.modules.get("wandb")
    run = getattr(wandb, "run", None)
    return NullSink() if run is None else ActiveRunSink(wandb)


def define_metrics(run: Any, values: Mapping[str, float], defined: set[str]) -> None:
    """Tells W&B about keys that it sees for the first time: their horizontal axis, and which need no summary.

    Args:
        run: A W&B run.
        values: What is about to be logged.
        defined: Keys that were defined before; the new ones are added.
    """
    for key in values.keys() - defined:
        axis = f"{key.partition('/')[0]}/epoch"
        step = {"step_metric": axis} if axis in values and key != axis else {}
        if is_trace(key):
            run.define_metric(key, summary="none", **step)
        elif step:
            run.define_metric(key, **step)
    defined.update(values)
