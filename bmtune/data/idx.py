"""The IDX format of MNIST: two zero bytes, the type, the number of dimensions, their sizes, the values.

References:
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bmtune.errors import DataError

_UNSIGNED_BYTE = 8


def read_idx(content: bytes, path: Path, num_dims: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes that an IDX file holds.

    Args:
        content: The file, unpacked.
        path: Its name, for messages.
        num_dims: Number of dimensions that it must have.

    Returns:
        A read-only view of `content`.

    Raises:
        DataError: The header is another one, or the file is longer or shorter than the header says.
    """
    magic = bytes((0, 0, _UNSIGNED_BYTE, num_dims))
    if content[:4] != magic:
        raise DataError(
            f"an IDX file of unsigned bytes in {num_dims} dimensions must begin with {magic.hex()}, but {path} begins "
            f"with {content[:4].hex() or 'nothing'}; fetch the file again"
        )
    start = 4 + 4 * num_dims
    if len(content) < start:
        raise DataError(
            f"an IDX file must hold its header of {start} bytes, but {path} has {len(content)}; fetch the file again"
        )
    shape = struct.unpack(f">{num_dims}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"an IDX file must have the length that its header says, but {path} has {len(content)} bytes where "
            f"{' x '.join(map(str, shape))} values take {expected}; fetch the file again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
