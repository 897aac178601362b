import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bmtune.cli.data_fetching as data_fetching
from bmtune.cli.app import main
from bmtune.config.data import DATASETS
from bmtune.data.images import ImageSet


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def series(root: Path) -> None:
    (root / "ucr").mkdir(parents=True)
    for split in ("TRAIN", "TEST"):
        lines = [f"{row % 2}\t{row}\t3\n" for row in range(8 if split == "TRAIN" else 10)]
        (root / "ucr" / f"Ramp_{split}.tsv").write_text("".join(lines))


def test_the_list_says_where_each_set_is_or_how_to_get_it(own_root: Path, capsys: pytest.CaptureFixture[str]):
    series(own_root)
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert set(DATASETS) < set(rows)
    assert rows["moons_4k"].split()[1:4] == ["8000", "2", "2"]
    assert rows["iris"].endswith("comes with bmtune")
    assert rows["mnist"].endswith("not there; bmtune data fetch mnist")
    assert rows["ucr/Ramp"].endswith(str(own_root / "ucr"))
    assert lines[-1] == "PATH: a file of yours, .csv, .tsv, .npz, .parquet"


def test_the_list_shows_the_folder_of_fetched_files(
    write_images: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = write_images(packed=True)
    assert main(["data", "list", "--root", str(root)]) == 0
    assert str(root / "MNIST/raw") in capsys.readouterr().out


def test_the_list_imports_nothing_heavy():
    code = (
        "import sys; from bmtune.cli.app import main; code = main(['data', 'list']); "
        "heavy = {'torch', 'sklearn', 'numpy', 'pyarrow'} & set(sys.modules); sys.exit(code or ','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_prints_what_a_training_would_see(own_root: Path, capsys: pytest.CaptureFixture[str]):
    series(own_root)
    assert main(["data", "check", "ucr/Ramp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ucr/Ramp: 18 rows, 2 features, 2 classes"
    assert lines[1] == f"from: {own_root}/ucr/Ramp_TRAIN.tsv and Ramp_TEST.tsv"
    assert lines[2] == "classes: 0, 1"
    assert lines[3] == "split: train 6, valid 2, test 10; the official test split, so that test_fraction is not used"
    assert lines[4].startswith("clipped: train 0, valid ")
    assert lines[5] == "constant: 1 features have one value in train"
    assert len(lines[6]) == len("content: ") + 64


def test_check_reads_a_file_with_its_label_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = "".join(f"{row % 2},{row},{row * row}\n" for row in range(12))
    (tmp_path / "rows.csv").write_text("kind,a,b\n" + rows)
    assert main(["data", "check", "rows.csv", "--label", "kind"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rows.csv: 12 rows, 2 features, 2 classes\nfrom: rows.csv\n")
    assert "official" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "mooons"], "a data set must be one of"),
        (["check", "none.csv"], "a data file must be readable"),
        (["check", "iris", "--label", "x"], "label must be left away"),
        (["check", "mnist"], "the files of mnist must be there"),
        (["check", "ucr/None"], "a set of the UCR archive must have its two files"),
        (["fetch", "mooons"], "a data set must be one of"),
        (["fetch", "moons"], "a data set to fetch must be mnist or fashion_mnist, but got 'moons'"),
        (["fetch", "ucr/GunPoint"], "a data set to fetch must be mnist or fashion_mnist"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], own_root: Path
):
    assert main(["data", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not own_root.exists()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The mirrors that torchvision is made to name."""
    found: list[str] = []
    monkeypatch.setattr(data_fetching, "torchvision_mirrors", lambda images: tuple(found))
    return found


def test_fetch_downloads_once_and_check_accepts_the_files(
    tiny_mnist: ImageSet,
    tiny_contents: dict[str, bytes],
    mirrors: list[str],
    tmp_path: Path,
    own_root: Path,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "mirror").mkdir()
    for name, content in tiny_contents.items():
        (tmp_path / "mirror" / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    mirrors.append(f"{(tmp_path / 'mirror').as_uri()}/")
    folder = own_root / "MNIST" / "raw"
    assert main(["data", "fetch", "mnist"]) == 0
    assert capsys.readouterr().out == f"mnist: {folder}; 4 files downloaded, SHA-256 as published\n"
    assert main(["data", "fetch", "mnist"]) == 0
    assert capsys.readouterr().out == f"mnist: {folder}; all files were there, SHA-256 as published\n"
    assert main(["data", "check", "mnist"]) == 0
    assert "split: train 9, valid 3, test 6; the official test split" in capsys.readouterr().out


def test_fetch_without_a_network_fails_in_one_sentence(
    tiny_mnist: ImageSet, mirrors: list[str], own_root: Path, capsys: pytest.CaptureFixture[str]
):
    mirrors.append("http://127.0.0.1:9/")
    assert main(["data", "fetch", "mnist"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: train-images-idx3-ubyte.gz of mnist must be downloaded from one of its mirrors")
    assert "\n" not in error
    assert not list(own_root.rglob("*ubyte*"))
