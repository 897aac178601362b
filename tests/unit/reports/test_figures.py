import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from bmtune.errors import ConfigError
from bmtune.reports.common_epoch import common_epoch
from bmtune.reports.figures import figure_data
from bmtune.reports.figures import slots
from bmtune.reports.history import Span


def test_curves_have_the_points_that_were_recorded(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5, 0.4, 0.3)), told((0.6, math.nan), status="failed"))
    data = figure_data(read, common_epoch(read.history))
    assert data["metrics"] == ["loss", "acc"]
    assert data["curves"]["loss"] == [([1, 2, 3], [0.5, 0.4, 0.3]), ([1], [0.6])]
    assert [trial["rank"] for trial in data["trials"]] == [1, None]
    json.dumps(data, allow_nan=False)


def test_a_metric_that_was_asked_for_comes_first(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5,)))
    assert figure_data(read, common_epoch(read.history), "train/loss")["metrics"] == ["train/loss", "loss", "acc"]


def test_a_metric_that_was_not_recorded_is_refused_with_those_that_were(
    recorded: Callable[..., Any], told: Callable[..., Any]
):
    read = recorded(told((0.5,)))
    with pytest.raises(ConfigError, match="'fid' was not .command line: --metric.; these were: train/loss, acc, loss"):
        figure_data(read, common_epoch(read.history), "fid")


def test_a_trial_stands_on_its_axes(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5,), params={"born.bond_dim": 9}))
    data = figure_data(read, common_epoch(read.history))
    assert [axis["name"] for axis in data["parameters"]] == ["lr", "bond_dim"]
    assert [axis["log"] for axis in data["parameters"]] == [True, False]
    assert data["trials"][0]["values"] == [0.01, 9]


def test_choices_are_told_apart_by_type(recorded: Callable[..., Any], told: Callable[..., Any]):
    path = "trainer.classification.batch_size"
    replaced = [("born.bond_dim: {type: int, low: 2, high: 12}", f"{path}: {{type: categorical, choices: [16, 64]}}")]
    read = recorded(told((0.5,)), told((0.5,), params={path: 16}), replaced=replaced)
    data = figure_data(read, common_epoch(read.history))
    assert data["parameters"][1]["choices"] == ["16", "64"]
    assert [trial["values"][1] for trial in data["trials"]] == [1, 0]


def test_stretches_that_overlap_have_rows_of_their_own():
    assert slots([[Span(0, 4), Span(6, 9)], [Span(1, 5)], [Span(4, 6)]]) == [[0, 0], [1], [0]]
