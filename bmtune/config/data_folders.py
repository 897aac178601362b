"""Where the files of a data set are looked for; nothing is opened here.

Below the root, `mnist` lies in `MNIST/raw` and `fashion_mnist` in `FashionMNIST/raw`, as torchvision has them, and
the series of the UCR archive in `ucr`, all in one folder or each set in one of its own, as the archive unpacks.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT_VARIABLE = "BMTUNE_DATA"
"""The environment variable that names the root where no argument does."""

IMAGE_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "mnist": ("MNIST/raw", "mnist"),
    "fashion_mnist": ("FashionMNIST/raw", "fashion_mnist"),
}
"""Folders below the root, in the order of the search; files are fetched into the first."""

IMAGE_FILES: Mapping[str, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""The files of a split, images and labels; each may have `.gz` behind its name."""

SERIES_SUFFIXES = (".tsv", ".ts", ".txt", ".arff")
"""The formats of the UCR archive, in the order in which they are preferred."""


class SeriesFiles(NamedTuple):
    """The two files of a data set of the UCR archive."""

    train: Path
    test: Path


def data_root(root: str | Path | None = None) -> Path:
    """The folder of data files: `root`, else what $BMTUNE_DATA names, else bmtune's in the user's cache folder."""
    chosen = root or os.environ.get(ROOT_VARIABLE)
    if chosen:
        return at_home(Path(chosen))
    return cache_folder()


def at_home(path: Path) -> Path:
    """The path with its `~` written out; one of a user that does not exist stays as it is, and is found missing."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def cache_folder() -> Path:
    """bmtune's folder in the user's cache folder: what lies there can be had again."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "bmtune"


def image_folder(dataset: str, root: Path) -> Path:
    """The first folder that holds a file of the set; where none does, the one that they are fetched into."""
    folders = [root / below for below in IMAGE_FOLDERS[dataset]]
    names = [name + packed for pair in IMAGE_FILES.values() for name in pair for packed in ("", ".gz")]
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), folders[0])


def missing_images(folder: Path) -> tuple[str, ...]:
    """The files of an image set that `folder` has neither plain nor packed."""
    names = [name for pair in IMAGE_FILES.values() for name in pair]
    return tuple(name for name in names if not any((folder / (name + end)).is_file() for end in ("", ".gz")))


def find_series(name: str, root: Path) -> SeriesFiles | None:
    """The training and the test file of a set of the UCR archive, both in one format and one folder."""
    for folder in (*_series_folders(root / "ucr", name), *_series_folders(root, name)):
        for suffix in SERIES_SUFFIXES:
            files = SeriesFiles(folder / f"{name}_TRAIN{suffix}", folder / f"{name}_TEST{suffix}")
            if files.train.is_file() and files.test.is_file():
                return files
    return None


def series_names(root: Path) -> tuple[str, ...]:
    """The sets of the UCR archive that `find_series` finds, in alphabetical order."""
    folders = [folder for top in (root / "ucr", root) for folder in (top, *_subfolders(top))]
    names = {
        path.name.removesuffix(f"_TRAIN{suffix}")
        for folder in folders
        for suffix in SERIES_SUFFIXES
        for path in folder.glob(f"*_TRAIN{suffix}")
    }
    return tuple(sorted(name for name in names if find_series(name, root) is not None))


def _series_folders(top: Path, name: str) -> tuple[Path, Path]:
    return top / name, top


def _subfolders(top: Path) -> list[Path]:
    return [path for path in top.iterdir() if path.is_dir()] if top.is_dir() else []
