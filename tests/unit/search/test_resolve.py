from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.space import load_space
from bmtune.config.yaml_text import dump
from bmtune.errors import BmtuneError
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.errors import ResourceError
from bmtune.errors import RunFolderError
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve
from bmtune.search.resolve import resolve_options

LOSS = "trainer.ganstyle.critic.loss.name"


@pytest.fixture
def request_for(tmp_path: Path) -> Any:
    return lambda trainer="gan", **options: SearchRequest(trainer, storage=tmp_path / "outputs", **options)


def test_options_replace_what_the_space_says(request_for: Any) -> None:
    space = resolve_options(
        request_for(
            dataset="iris", trials=3, max_epochs=5, metric="genloss", seed=4, sampler="random", scheduler="none"
        )
    ).space
    assert (space.budget.trials, space.budget.max_epochs, space.objective.name) == (3, 5, "genloss")
    assert (space.run.seed, space.run.sampler, space.run.scheduler) == (4, "random", "none")
    assert space.base.data.dataset == "iris"
    main = space.base.trainer.ganstyle
    assert (main.max_epoch, main.stop_crit, dict(main.metrics)["genloss"]) == (5, "genloss", 1)


def test_a_short_budget_only_means_that_no_rung_decides(request_for: Any) -> None:
    assert resolve_options(request_for(max_epochs=1)).space.budget.grace == 1


def test_fixed_values_are_read_as_yaml(request_for: Any) -> None:
    space = resolve_options(request_for(overrides=(("born.init_std", "1e-3"), (LOSS, "bce")))).space
    assert space.base.born.init_std == 1e-3
    assert LOSS not in dict(space.parameters)


def test_search_yaml_gives_the_same_search_again(request_for: Any, tmp_path: Path) -> None:
    first = resolve_options(request_for(trials=5, seed=9, dataset="iris", overrides=(("born.bond_dim", "7"),)))
    path = tmp_path / "search.yaml"
    path.write_text(dump(first.to_mapping()))
    again = resolve_options(request_for(space=path))
    assert replace(again.space, source="") == replace(first.space, source="")
    assert load_space(path).run.seed == 9


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trainer": "gna"}, ConfigError, "did you mean 'gan'?"),
        ({"dataset": "moon_4k"}, ConfigError, "did you mean 'moons_4k'?"),
        ({"metric": "fdi"}, ConfigError, "(command line: --metric); did you mean 'fid'?"),
        ({"trials": 0}, ConfigError, "(command line: --trials)"),
        ({"max_epochs": 0}, ConfigError, "--max-epochs"),
        ({"sampler": "tpo"}, ConfigError, "must be one of tpe, random, but got 'tpo'"),
        ({"halving": "stap"}, ConfigError, "must be one of promote, stop, but got 'stap'"),
        ({"halving": "promote", "scheduler": "none"}, ConfigError, "(command line: --halving)"),
        ({"time_budget_s": -1.0}, ConfigError, "(command line: --time-budget)"),
        ({"cpus_per_trial": 0}, ConfigError, "--cpus-per-trial"),
        ({"name": "../x"}, ConfigError, "--name"),
        ({"overrides": (("born.bonddim", "3"),)}, ConfigError, "did you mean 'born.bond_dim'?"),
        ({"overrides": (("born.bond_dim", "x"),)}, ConfigError, "valid integer"),
        ({"overrides": (("born.bond_dim", "[1"),)}, ConfigError, "plain YAML"),
        ({"overrides": (("trainer.ganstyle.max_epoch", "3"),)}, ConfigError, "budget.max_epochs"),
        ({"gpus_per_trial": 0.4}, ResourceError, "whole number or 1/k, but got 0.4"),
        ({"gpus_per_trial": 1.5}, ResourceError, "whole number or 1/k, but got 1.5"),
        ({"gpus_per_trial": 0.18}, ResourceError, "the nearest is 1/6"),
        ({"space": Path("nowhere.yaml")}, ConfigError, "nowhere.yaml"),
    ],
)
def test_a_bad_option_is_one_sentence_and_nothing_is_written(
    request_for: Any, tmp_path: Path, options: dict[str, Any], error: type[BmtuneError], message: str
) -> None:
    with pytest.raises(error) as caught:
        resolve_options(request_for(**options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("asked", "placed"), [(1, 1), (2, 2), (0.5, 0.5), (1 / 3, 0.3333), (0.333, 0.3333), (0.125, 0.125)]
)
def test_gpus_are_whole_or_one_kth(request_for: Any, asked: float, placed: float) -> None:
    assert resolve_options(request_for(gpus_per_trial=asked)).space.run.gpus_per_trial == placed


def test_a_space_for_another_trainer_is_refused(request_for: Any, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(dump(resolve_options(request_for()).to_mapping()))
    with pytest.raises(ConfigError, match=r"is for 'gan' and the trainer is 'classification'"):
        resolve_options(request_for("classification", space=path))


def test_a_folder_that_holds_something_is_refused(request_for: Any, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    assert resolve_options(request_for(name="mine")).run_folder == tmp_path / "outputs" / "mine"
    (tmp_path / "outputs" / "mine" / "records.jsonl").touch()
    with pytest.raises(RunFolderError, match="holds something already"):
        resolve_options(request_for(name="mine"))


def test_a_batch_larger_than_the_training_split_is_refused(request_for: Any) -> None:
    fixed = (("trainer.classification.batch_size", "100"),)
    with pytest.raises(DataError, match=r"iris has \d+ training rows and a batch may take 100"):
        resolve(request_for("classification", dataset="iris", overrides=fixed))


def test_the_data_are_part_of_what_was_resolved(request_for: Any) -> None:
    hashes = {resolve(request_for(dataset=name)).data_hash for name in ("iris", "wine")}
    assert len(hashes) == 2
    assert "" not in hashes
