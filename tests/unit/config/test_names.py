from pathlib import Path

import pytest

from bmtune.config.names import check_local
from bmtune.config.names import check_name
from bmtune.config.names import within
from bmtune.config.root import TrialConfig
from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.records import CheckpointWritten


@pytest.mark.parametrize("name", ["night", "a-1_b.c+d", "größe", "x" * 100])
def test_a_name_is_one_part_of_a_path(name: str):
    assert check_name(name, "here") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-x", "a\nb", "a b", "x" * 101, "a\0"])
def test_other_names_are_refused(name: str):
    with pytest.raises(ConfigError, match="a name must"):
        check_name(name, "here")


def test_an_address_is_no_folder():
    check_local("outputs/a", "--storage")
    check_local("C", "--storage")
    with pytest.raises(ConfigError, match=r"got s3:/\*\*\*@bucket \(--storage\)"):
        check_local(str(Path("s3://key:secret@bucket")), "--storage")


def test_a_path_within_the_folder_is_taken(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    assert within(tmp_path, "checkpoints/best") == tmp_path / "checkpoints" / "best"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "link/x", "link", "a\0"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, path: str):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    with pytest.raises(RunFolderError, match="must stay in its folder"):
        within(tmp_path / "run", path)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_records_and_configurations_name_no_place_outside(path: str):
    with pytest.raises(ValueError, match="within its folder"):
        CheckpointWritten(trial=0, which="best", budget=1, path=path)
    with pytest.raises(ValueError, match="within its folder"):
        TrialConfig(name=path)
