from pathlib import Path

import pytest
from pydantic import ValidationError

from bmtune.config.data import DATASETS
from bmtune.config.data import DataConfig
from bmtune.config.data_folders import data_root
from bmtune.config.data_folders import find_series
from bmtune.config.data_folders import series_names
from bmtune.config.datasets import SIZES
from bmtune.config.datasets import short_name
from bmtune.config.paths import validate
from bmtune.errors import ConfigError


@pytest.mark.parametrize(
    "dataset",
    ["moons", "mnist", "ucr/GunPoint", "ucr/Coffee_2-x", "rows.csv", "../my rows.TSV", "/a/b.npz", "x.parquet"],
)
def test_names_archive_sets_and_paths_are_data_sets(dataset):
    assert DataConfig(dataset=dataset).dataset == dataset


@pytest.mark.parametrize("dataset", ["mooons", "ucr/", "ucr/../x", "ucr/a/b", "rows.xls", ".csv", "", "Moons"])
def test_anything_else_is_one_sentence_at_load(dataset):
    with pytest.raises(ConfigError) as caught:
        validate({"data": {"dataset": dataset}}, "space.yaml")
    message = str(caught.value)
    assert message.startswith("a data set must be one of moons, ")
    assert (
        f"ucr/NAME for a set of the UCR archive, or a path to a .csv, .tsv, .npz or .parquet file, but got {dataset!r}"
        in message
    )
    assert message.endswith("(space.yaml: data.dataset)")


def test_a_near_miss_is_named():
    with pytest.raises(ConfigError, match="did you mean 'fashion_mnist'?"):
        validate({"data": {"dataset": "fashion-mnist"}}, "space.yaml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "moons", "pool": 2}, "pool must be 1 for a data set other than mnist and fashion_mnist"),
        ({"dataset": "mnist", "pool": 3}, "1, 2 or 4"),
        ({"dataset": "iris", "label": "y"}, "label must be left away unless"),
        ({"dataset": "a.npz", "label": "y"}, "label must be left away unless"),
    ],
)
def test_options_must_fit_the_set(fields, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(**fields)


def test_options_of_the_set_are_kept_through_json():
    config = DataConfig(dataset="a.csv", label="kind", root="/data")
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    assert DataConfig(dataset="mnist", pool=2).pool == 2


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("moons_4k", "moons_4k"), ("ucr/GunPoint", "GunPoint"), ("../some/my rows.csv", "my-rows"), ("/x/a.b.npz", "a.b")],
)
def test_a_data_set_has_a_name_for_folders(dataset, name):
    assert short_name(dataset) == name


def test_every_named_set_has_a_size():
    assert tuple(sorted(SIZES)) == tuple(sorted(DATASETS))


def test_the_root_is_the_argument_then_the_variable_then_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("BMTUNE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert data_root() == tmp_path / ".cache" / "bmtune"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_root() == Path("/cache/bmtune")
    monkeypatch.setenv("BMTUNE_DATA", "~/sets")
    assert data_root() == tmp_path / "sets"
    assert data_root("/here") == data_root(Path("/here")) == Path("/here")


def test_series_are_found_flat_or_in_folders_in_the_preferred_format(tmp_path: Path):
    for name in ("ucr/A/A_TRAIN.ts", "ucr/A/A_TEST.ts", "ucr/A/A_TRAIN.tsv", "B_TRAIN.txt", "B_TEST.txt", "C_TRAIN.ts"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert series_names(tmp_path) == ("A", "B")
    assert find_series("A", tmp_path).train == tmp_path / "ucr/A/A_TRAIN.ts"
    (tmp_path / "ucr/A/A_TEST.tsv").touch()
    assert find_series("A", tmp_path).test == tmp_path / "ucr/A/A_TEST.tsv"
    assert series_names(tmp_path / "nothing") == ()
