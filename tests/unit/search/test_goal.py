"""What a search is asked to look for: objectives and constraints of a space and of options."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.constraints import parse_constraint
from bmtune.config.space import SearchSpace
from bmtune.errors import ConfigError
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve_options

MakeSpace = Callable[..., SearchSpace]
WITHIN = ("{metric: loss}", "{metric: acc, constraints: ['fid <= 0.1']}")


def request(tmp_path: Path, **options: Any) -> SearchRequest:
    return SearchRequest("classification", space=tmp_path / "space.yaml", storage=tmp_path / "outputs", **options)


def test_options_replace_what_the_space_says(make_space: MakeSpace, tmp_path: Path) -> None:
    make_space(WITHIN)
    found = resolve_options(request(tmp_path, metrics=("loss", "rob"), constraints=("acc>=.5",))).space
    assert found.goal.metric == ("loss", "rob")
    assert found.aims.bounds == (parse_constraint("acc >= 0.5"),)
    assert {"loss", "rob", "acc"} <= dict(found.base.main_metrics).keys()
    assert resolve_options(request(tmp_path, metrics=("loss",))).space.goal.constraints == ("fid <= 0.1",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": ("acc", "acc")}, "objectives must differ from each other, but got 'acc' twice; leave one away"),
        ({"metrics": ("acc", "rbo")}, "a metric must be one of acc, loss, genloss, fid, outliers, rob, rob_strong"),
        ({"constraints": ("fid < 0.1",)}, "must be a metric, <= or >=, and a number, but got 'fid < 0.1'"),
        ({"constraints": ("fdi <= 0.1",)}, "a metric must be one of acc"),
        ({"metrics": ("acc", "rob"), "confirm": "3:5"}, "a confirmation compares one number"),
        ({"overrides": (("best_epoch.objectives", "[acc]"),)}, "set objective.metric and objective.constraints"),
    ],
)
def test_what_is_wrong_with_objectives_is_told_in_one_sentence(
    make_space: MakeSpace, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    make_space()
    with pytest.raises(ConfigError) as error:
        resolve_options(request(tmp_path, **options))
    assert said in str(error.value)
    assert "(command line: --" in str(error.value) or "(command line: parameters." in str(error.value)
