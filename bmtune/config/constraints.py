"""Constraints as users write them: `fid <= 0.01`. One metric, one relation, one number; nothing is evaluated."""

import math
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from bmtune.config.metrics import known_metric
from bmtune.records import Bound

_PARTS = re.compile(r"\s*(?P<metric>[a-z_]+(?:/[0-9.]+)?)\s*(?P<relation><=|>=)\s*(?P<limit>[-+0-9.eE]+)\s*")


def parse_constraint(text: str) -> Bound:
    """The bound that a text like `fid <= 0.01` means.

    Raises:
        ValueError: It is no such text, names no metric, or its limit is no finite number.
    """
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ValueError(
            f"a constraint must be a metric, <= or >=, and a number, but got {text!r}; write it like 'fid <= 0.01'"
        )
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise ValueError(f"the limit of a constraint must be a finite number, but got {text!r}; give one like 0.01")
    relation = "<=" if found["relation"] == "<=" else ">="
    return Bound(metric=known_metric(found["metric"]).name, relation=relation, limit=limit)


def write_constraint(bound: Bound) -> str:
    """The text that `parse_constraint` reads back as an equal bound."""
    return f"{bound.metric} {bound.relation} {bound.limit!r}"


def broken(bounds: Sequence[Bound], trial: int, metrics: Mapping[str, float] | None) -> str:
    """That no trial satisfies the constraints, and how near the nearest one came: the end of a sentence."""
    found = metrics or {}
    values = ", ".join(f"{bound.metric} {found[bound.metric]:.3g}" for bound in bounds if bound.metric in found)
    return f"none has {' and '.join(map(write_constraint, bounds))} (trial {trial} is the nearest: {values})"


def _normal(text: str) -> str:
    return write_constraint(parse_constraint(text))


ConstraintText = Annotated[str, AfterValidator(_normal)]
"""A constraint in its one spelling."""


def check_different(constraints: tuple[str, ...]) -> None:
    """Refuses two constraints that say the same of one metric.

    Raises:
        ValueError: There are.
    """
    seen: dict[tuple[str, str], str] = {}
    for text in constraints:
        bound = parse_constraint(text)
        key = (bound.metric, bound.relation)
        if key in seen:
            raise ValueError(
                f"a metric must have one constraint of each kind, but got {seen[key]!r} and {text!r}; keep the narrower"
            )
        seen[key] = text
