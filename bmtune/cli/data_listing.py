"""The lines of `bmtune data list`; nothing is opened and nothing heavy is imported."""

from collections.abc import Iterator
from pathlib import Path

from bmtune.config.data_folders import data_root
from bmtune.config.data_folders import find_series
from bmtune.config.data_folders import image_folder
from bmtune.config.data_folders import missing_images
from bmtune.config.data_folders import series_names
from bmtune.config.datasets import DATASETS
from bmtune.config.datasets import FILE_SUFFIXES
from bmtune.config.datasets import IMAGES
from bmtune.config.datasets import SIZES
from bmtune.config.datasets import UCR_PREFIX
from bmtune.errors import DataError

_FORMAT = "{:<24}{:>8}{:>10}{:>9}  {}"


def listing(root: Path | None) -> Iterator[str]:
    """One line a data set, after one of names.

    Raises:
        DataError: The root cannot be read.
    """
    folder = data_root(root)
    yield _FORMAT.format("name", "rows", "features", "classes", "where")
    try:
        for name in DATASETS:
            yield _FORMAT.format(name, *SIZES[name], _where(name, folder))
        for name in series_names(folder):
            files = find_series(name, folder)
            assert files is not None, "series_names names what find_series finds"
            yield _FORMAT.format(UCR_PREFIX + name, "-", "-", "-", files.train.parent)
    except OSError as error:
        raise DataError(
            f"a folder of data files must be readable, but {error.filename} is not ({error.strerror}); "
            "name another with --root"
        ) from error
    yield (
        f"{UCR_PREFIX}NAME: a set of the UCR archive (timeseriesclassification.com), from NAME_TRAIN.tsv and "
        f"NAME_TEST.tsv (or .ts, .txt, .arff) in {folder / 'ucr'}"
    )
    yield f"PATH: a file of yours, {', '.join(FILE_SUFFIXES)}"


def _where(name: str, root: Path) -> str:
    if name not in IMAGES:
        return "comes with bmtune"
    folder = image_folder(name, root)
    return f"not there; bmtune data fetch {name}" if missing_images(folder) else str(folder)
