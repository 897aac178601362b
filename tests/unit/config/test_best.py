import math
from pathlib import Path

import pytest

from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import TrialCounts
from bmtune.config.best import read_best
from bmtune.config.best import write_best
from bmtune.config.root import TrialConfig
from bmtune.errors import ConfigError
from bmtune.errors import FormatError

BEST = BestFile(
    run="a",
    trainer="gan",
    dataset="iris",
    objective=(ObjectiveEntry(metric="fid", mode="min"),),
    best=BestEntry(
        trial=3, value=0.5, epoch=2, metrics={"fid": 0.5, "loss": math.inf}, config=TrialConfig(), checkpoint="best"
    ),
    trials=TrialCounts(total=4, completed=2, pruned=1, failed=1),
)


def test_the_file_comes_back_equal(tmp_path: Path) -> None:
    write_best(tmp_path / "best.yaml", BEST)
    assert read_best(tmp_path / "best.yaml") == BEST


def test_another_version_is_named(tmp_path: Path) -> None:
    write_best(tmp_path / "best.yaml", BEST)
    path = tmp_path / "best.yaml"
    path.write_text(path.read_text().replace("version: 3", "version: 9"))
    with pytest.raises(FormatError, match="bmtune.best version 9"):
        read_best(path)


def test_a_broken_value_names_its_key(tmp_path: Path) -> None:
    write_best(tmp_path / "best.yaml", BEST)
    path = tmp_path / "best.yaml"
    path.write_text(path.read_text().replace("bond_dim: 6", "bond_dim: 0"))
    with pytest.raises(ConfigError, match=r"best\.config\.born\.bond_dim"):
        read_best(path)


def test_a_file_of_the_version_without_confirmations_is_read(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    write_best(path, BEST)
    path.write_text(path.read_text().replace("version: 3", "version: 1").replace("confirmation: null\n", ""))
    assert read_best(path) == BEST.model_copy(update={"version": 1})
