"""Sets of the UCR time series archive, with their official training and test files."""

from pathlib import Path

import numpy as np

from bmtune.config.data_folders import SERIES_SUFFIXES
from bmtune.config.data_folders import find_series
from bmtune.config.datasets import UCR_PREFIX
from bmtune.data.labels import encode_labels
from bmtune.data.series_formats import read_series
from bmtune.data.table import Table
from bmtune.data.table import check_table
from bmtune.errors import DataError


def load_series(name: str, root: Path) -> Table:
    """A set of the UCR archive.

    Args:
        name: Its name in the archive, such as `GunPoint`.
        root: Folder of data files.

    Raises:
        DataError: A file is missing or unfit, or the series of the two files differ in length or classes.
    """
    files = find_series(name, root)
    if files is None:
        wanted = " or ".join(SERIES_SUFFIXES)
        raise DataError(
            f"a set of the UCR archive must have its two files, but {root / 'ucr'} has no {name}_TRAIN and {name}_TEST "
            f"that end in {wanted}; put them there, or name another folder in data.root or $BMTUNE_DATA"
        )
    train, test = read_series(files.train), read_series(files.test)
    if train.x.shape[1] != test.x.shape[1]:
        raise DataError(
            f"all series must have the same length, but {files.train} has {train.x.shape[1]} values a series and "
            f"{files.test} {test.x.shape[1]}; cut or resample them to one length"
        )
    y, class_names = encode_labels([*train.labels, *test.labels], name=name)
    table = Table(
        name=UCR_PREFIX + name,
        x=np.concatenate((train.x, test.x)),
        y=y,
        class_names=class_names,
        feature_names=tuple(f"t{index}" for index in range(train.x.shape[1])),
        test_rows=np.arange(len(train.x), len(y), dtype=np.int64),
        kind="series",
        origin=f"{files.train} and {files.test.name}",
    )
    check_table(table)
    return table
