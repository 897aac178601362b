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
    return lambda trainer="gan", **options: SearchRequest(trainer, **{"storage": tmp_path / "outputs", **options})


def test_options_replace_what_the_space_says(request_for: Any) -> None:
    space = resolve_options(
        request_for(
            dataset="iris", trials=3, max_epochs=5, metrics=("genloss",), seed=4, sampler="random", scheduler="none"
        )
    ).space
    assert (space.budget.trials, space.budget.max_epochs, space.objective.name) == (3, 5, "genloss")
    assert (space.run.seed, space.run.sampler, space.run.scheduler) == (4, "random", "none")
    assert space.base.data.dataset == "iris"
    main = space.base.trainer.ganstyle
    assert (main.max_epoch, main.stop_crit, dict(main.metrics)["genloss"]) == (5, "genloss", 1)


FIXED = (("born.init_std", "1e-2"),)
"""Without a real number of pre-training among what is searched, some trials of the space pre-train alike."""


@pytest.mark.parametrize(
    ("options", "pre_seed"),
    [
        ({}, None),
        ({"overrides": FIXED}, 0),
        ({"overrides": FIXED, "seed": 4}, 4),
        ({"overrides": (*FIXED, ("pre_seed", "9")), "seed": 4}, 9),
        ({"overrides": (*FIXED, ("pre_seed", "null"))}, None),
        ({"trainer": "classification", "overrides": FIXED}, None),
        ({"trainer": "generative", "overrides": FIXED}, None),
        ({"trainer": "generative", "overrides": (*FIXED, ("trainer.generative.pretrain", "true"))}, 0),
    ],
)
def test_trials_that_pretrain_alike_do_so_from_the_seed_of_the_run(
    request_for: Any, options: dict[str, Any], pre_seed: int | None
) -> None:
    found = resolve_options(request_for(**options))
    assert found.space.base.pre_seed == pre_seed
    assert found.space.configure({}).pre_seed == pre_seed


def test_another_seed_than_that_of_a_former_search_is_one_for_pretraining_too(request_for: Any, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(dump(resolve_options(request_for(overrides=FIXED, seed=3)).to_mapping()))
    assert resolve_options(request_for(space=path)).space.base.pre_seed == 3
    assert resolve_options(request_for(space=path, seed=5)).space.base.pre_seed == 5


def test_results_of_pretraining_are_kept_where_trials_can_share_them(request_for: Any, tmp_path: Path) -> None:
    assert resolve_options(request_for()).pre_cache is None
    assert (
        resolve_options(request_for(name="a", overrides=FIXED)).pre_cache == tmp_path / "outputs" / "a" / "pretraining"
    )
    elsewhere = str(tmp_path / "elsewhere")
    assert resolve_options(request_for(pre_cache=elsewhere)).pre_cache == Path(elsewhere)
    assert resolve_options(request_for(pre_cache=elsewhere)).to_mapping()["run"]["pre_cache"] == elsewhere
    assert not Path(elsewhere).exists()


def test_a_space_may_have_every_trial_pretrain_from_its_own_seed(request_for: Any, tmp_path: Path) -> None:
    shared = resolve_options(request_for(overrides=FIXED)).to_mapping()
    path = tmp_path / "own.yaml"
    path.write_text(dump({**shared, "run": {"share_pre": False}, "base": {**shared["base"], "pre_seed": None}}))
    own = resolve_options(request_for(space=path))
    assert own.space.base.pre_seed is None
    assert own.pre_cache is None


def test_a_file_is_no_place_for_results_of_pretraining(request_for: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be kept in a folder, but .*--pre-cache"):
        resolve_options(request_for(pre_cache=str(tmp_path / "file")))


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
        ({"metrics": ("fdi",)}, ConfigError, "(command line: --metric); did you mean 'fid'?"),
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
        ({"gpus_per_trial": "some"}, ConfigError, "must be auto or a number, but got some"),
        ({"resources": {"GPU": 1}}, ConfigError, "GPU has an option of its own; give cpus_per_trial or gpus_per_trial"),
        ({"resources": {"A100": -1}}, ConfigError, "an amount above 0, but got A100: -1"),
        ({"storage": Path("s3://bucket/runs")}, ConfigError, "(command line: --storage); give a path"),
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
    ("asked", "placed"),
    [
        *[(1, 1), (2, 2), ("1", 1), (0.5, 0.5), ("0.25", 0.25), (1 / 3, 0.3333), (0.333, 0.3333), (0.125, 0.125)],
        ("auto", "auto"),
    ],
)
def test_gpus_are_whole_or_one_kth(request_for: Any, asked: Any, placed: Any) -> None:
    assert resolve_options(request_for(gpus_per_trial=asked)).space.run.gpus_per_trial == placed


def test_other_resources_are_kept_in_the_search_and_read_back(request_for: Any, tmp_path: Path) -> None:
    space = resolve_options(request_for(resources=(("A100", 0.25),))).space
    assert dict(space.run.resources) == {"A100": 0.25}
    (tmp_path / "space.yaml").write_text(dump(space.to_mapping()))
    assert resolve_options(request_for(space=tmp_path / "space.yaml")).space.run.resources == (("A100", 0.25),)


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
