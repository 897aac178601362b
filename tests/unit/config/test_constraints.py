"""Constraints as text: a small grammar, and nothing that is evaluated."""

import pytest
from pydantic import ValidationError

from bmtune.config.constraints import broken
from bmtune.config.constraints import parse_constraint
from bmtune.config.constraints import write_constraint
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import ObjectiveConfig
from bmtune.records import Bound


@pytest.mark.parametrize(
    ("text", "metric", "relation", "limit"),
    [
        ("fid <= 0.01", "fid", "<=", 0.01),
        ("acc>=.9", "acc", ">=", 0.9),
        ("  rob/0.1 >= 5e-1 ", "rob/0.1", ">=", 0.5),
        ("genloss <= -2", "genloss", "<=", -2.0),
    ],
)
def test_a_constraint_is_a_metric_a_relation_and_a_number(text: str, metric: str, relation: str, limit: float) -> None:
    found = parse_constraint(text)
    assert found == Bound(metric=metric, relation=relation, limit=limit)  # type: ignore[arg-type]
    assert parse_constraint(write_constraint(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fid < 0.01", "a metric, <= or >=, and a number"),
        ("fid == 0.01", "a metric, <= or >=, and a number"),
        ("fid <= acc", "a metric, <= or >=, and a number"),
        ("fid <= 0.01 and acc >= 0.9", "a metric, <= or >=, and a number"),
        ("fid <= __import__('os')", "a metric, <= or >=, and a number"),
        ("0.01 >= fid", "a metric, <= or >=, and a number"),
        ("fid <= 1-2", "a finite number"),
        ("fid <= 1e999", "a finite number"),
        ("fdi <= 0.01", "a metric must be one of acc, loss"),
        ("", "a metric, <= or >=, and a number"),
    ],
)
def test_anything_else_is_refused_with_the_text(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="must be") as error:
        parse_constraint(text)
    assert said in str(error.value)


def test_how_far_a_bound_is_broken_is_a_share_of_its_limit() -> None:
    at_most, at_least, zero = map(parse_constraint, ("fid <= 0.01", "acc >= 0.8", "outliers <= 0"))
    assert [at_most.excess(value) for value in (0.005, 0.01, 0.02)] == [0, 0, pytest.approx(1.0)]
    assert [at_least.excess(value) for value in (0.9, 0.8, 0.4)] == [0, 0, pytest.approx(0.5)]
    assert zero.excess(0.25) == 0.25


def test_metrics_and_constraints_may_not_come_twice() -> None:
    with pytest.raises(ValidationError, match="got 'acc' twice; leave one away"):
        ObjectiveConfig.model_validate({"metric": ["acc", "rob", "acc"]})
    with pytest.raises(ValidationError, match="got 'fid <= 0.1' and 'fid <= 0.2'; keep the narrower"):
        ObjectiveConfig.model_validate({"metric": "acc", "constraints": ["fid <= 0.1", "fid<=.2"]})
    found = ObjectiveConfig.model_validate({"metric": "acc", "constraints": ["fid <= 0.1", "fid >= 0.01"]})
    assert found.aims.names == ("acc", "fid")
    assert not found.aims.is_plain


def test_what_decides_which_epoch_is_the_best_must_be_measured_at_every_epoch() -> None:
    def config(every: int) -> TrialConfig:
        main_phase = {"metrics": {"acc": 1, "loss": 1, "fid": every}, "stop_crit": "acc"}
        wanted = {"objectives": ["loss"], "constraints": ["fid<=.1"]}
        raw = {"recipe": "classification", "trainer": {"classification": main_phase}, "best_epoch": wanted}
        return TrialConfig.model_validate(raw)

    found = config(1)
    assert TrialConfig.model_validate(found.model_dump(mode="json")) == found
    assert (found.aims.names, found.best_epoch.constraints) == (
        ("acc", "loss", "fid"),
        ("fid <= 0.1",),
    )
    with pytest.raises(ValidationError, match="at every epoch, but 'fid' of best_epoch is not among .*acc, loss"):
        config(2)


def test_the_nearest_trial_is_told_with_what_it_had() -> None:
    bounds = [parse_constraint("fid <= 0.01"), parse_constraint("acc >= 0.9")]
    assert broken(bounds, 3, {"fid": 0.0234, "acc": 0.95, "loss": 1.0}) == (
        "none has fid <= 0.01 and acc >= 0.9 (trial 3 is the nearest: fid 0.0234, acc 0.95)"
    )
