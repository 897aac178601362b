"""The names of all metrics, each with its direction and unit, and the `{name: every}` field."""

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Annotated
from typing import Literal

from pydantic import BeforeValidator
from pydantic import PlainSerializer

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """A measured quantity.

    Attributes:
        name: What users write in `metrics`, `stop_crit` and an objective.
        direction: Whether larger ("max") or smaller ("min") is better.
        unit: What the number counts.
        meaning: One line for tables and `--help`.
    """

    name: str
    direction: Direction
    unit: str
    meaning: str

    def better(self, candidate: float, incumbent: float) -> bool:
        """Whether `candidate` is strictly better than `incumbent`; NaN is never better."""
        return candidate > incumbent if self.direction == "max" else candidate < incumbent

    @property
    def worst(self) -> float:
        """The value that every other value is better than."""
        return float("-inf") if self.direction == "max" else float("inf")


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("acc", "max", "share", "accuracy of the predicted class"),
        Metric("loss", "min", "nats", "class negative log-likelihood, -log p(c|x)"),
        Metric("genloss", "min", "nats", "joint negative log-likelihood, -log p(x, c), x in interval coordinates"),
        Metric("fid", "min", "squared unit range", "Frechet distance of samples to real rows, mean over classes"),
        Metric("outliers", "min", "share", "samples farther from the real rows than any real row is"),
        Metric("rob", "max", "share", "accuracy under attack, mean over evaluation.strengths"),
        Metric(
            "rob_strong",
            "max",
            "share",
            "accuracy under the strongest attacks known here, mean over evaluation.strengths",
        ),
    )
}
"""Every metric by name; the only place where directions are written down."""


STRENGTH_FAMILIES = ("rob", "rob_strong")
"""Metrics that also exist for one strength: `rob/0.1`, the radius as a fraction of the interval's length."""

PICTURE = "viz"
"""The picture: it may be scheduled like a metric, but has no value and no direction."""


def strength_of(name: str) -> float | None:
    """The strength in a name like `rob/0.1`; None for a name without one.

    Raises:
        ValueError: What follows the slash is no fraction of the interval.
    """
    family, slash, text = name.partition("/")
    if not slash or family not in STRENGTH_FAMILIES:
        return None
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 1:
        raise ValueError(
            f"0 <= eps <= 1 must hold in {family}/eps, but got {name!r}; eps is a fraction of the interval"
        )
    return strength


def known_metric(name: str) -> Metric:
    """The metric called `name`.

    Raises:
        ValueError: No metric has that name; the message lists those that exist.
    """
    if strength_of(name) is not None:
        return replace(METRICS[name.partition("/")[0]], name=name)
    if name not in METRICS:
        raise ValueError(f"a metric must be one of {', '.join(METRICS)} or rob/<eps>, but got {name!r}")
    return METRICS[name]


def _pairs(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    for name, every in value.items():
        if name != PICTURE:
            known_metric(name)
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(f"metrics takes name: every, a whole number of epochs >= 1, but got {name}: {every!r}")
    return tuple(value.items())


def _check_name(value: object) -> object:
    if isinstance(value, str):
        known_metric(value)
    return value


MetricName = Annotated[str, BeforeValidator(_check_name)]
"""The name of a metric in `METRICS`."""

MetricSchedule = Annotated[
    tuple[tuple[str, int], ...],
    BeforeValidator(_pairs),
    PlainSerializer(lambda pairs: dict(pairs), return_type=dict),
]
"""`{name: every}`, kept as pairs so that a frozen model holds nothing that can change."""


def without_picture(names: Iterable[str]) -> tuple[str, ...]:
    """The names that have a value."""
    return tuple(name for name in names if name != PICTURE)


def check_watched(schedule: tuple[tuple[str, int], ...], watched: str, field: str) -> None:
    """Refuses to watch what is never measured.

    Raises:
        ValueError: `watched` is not in the schedule.
    """
    if watched not in dict(schedule) or watched == PICTURE:
        raise ValueError(
            f"{field} must be one of the metrics that are measured ({', '.join(dict(schedule)) or 'none'}), "
            f"but got {watched!r}; add it to metrics"
        )


def due(schedule: tuple[tuple[str, int], ...], epoch: int) -> tuple[str, ...]:
    """The metrics to measure after `epoch`, counted from 1: each at its first epoch and every `every` epochs."""
    return tuple(name for name, every in schedule if epoch == 1 or epoch % every == 0)
