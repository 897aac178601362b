"""Files of the user by the end of their names, and the arrays of an NPZ file. Nothing is ever unpickled."""

import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmtune.config.data_folders import at_home
from bmtune.data.delimited import read_delimited
from bmtune.data.table import Table
from bmtune.data.table import table_from_arrays
from bmtune.data.text import read_bytes
from bmtune.errors import DataError

_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, MemoryError)
"""What numpy and zipfile raise for a damaged, an encrypted or an impossibly large array."""


def load_user_file(path: Path, label: str | None = None) -> Table:
    """The rows of a file: .csv or .tsv, .npz, or .parquet.

    Args:
        path: The file.
        label: Column of the labels, not for .npz; None: `label`, or else the last one.

    Raises:
        DataError: The file is missing, unreadable or unfit; the message names file, line and column.
    """
    path = at_home(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        table = read_npz(path)
    elif suffix == ".parquet":
        # Imported here: pyarrow takes a part of a second, and few files are Parquet.
        from bmtune.data.parquet import read_parquet

        table = read_parquet(path, label)
    else:
        table = read_delimited(path, label)
    return replace(table, origin=str(path))


def read_npz(path: Path) -> Table:
    """The arrays `x` (or `X`), (R, N), and `y`, (R,), of an NPZ file.

    Raises:
        DataError: The file is unreadable, lacks an array, or the arrays are unfit.
    """
    content = read_bytes(path)
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise DataError(f"an .npz file must be what numpy.savez writes, but {path} is not; write it with numpy.savez")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            names = tuple(archive.files)
            x, y = (_array(archive, wanted, names, path) for wanted in (("x", "X"), ("y",)))
    except (zipfile.BadZipFile, zlib.error, *_UNREADABLE) as error:
        raise DataError(f"the arrays of an .npz file must be readable, but {path} is not ({error})") from error
    if x.dtype.kind not in "biuf":
        raise DataError(f"x must hold real numbers, but that of {path} holds {x.dtype}; encode it as numbers first")
    return table_from_arrays(x, y, name=str(path))


def _array(archive: Any, wanted: tuple[str, ...], names: tuple[str, ...], path: Path) -> NDArray[Any]:
    for name in wanted:
        if name in names:
            array: NDArray[Any] = archive[name]
            return array
    raise DataError(
        f"an .npz file must hold the arrays x (or X) and y, but {path} has {', '.join(names) or 'none'} and no "
        f"{' or '.join(wanted)}; write it with numpy.savez(path, x=x, y=y)"
    )
