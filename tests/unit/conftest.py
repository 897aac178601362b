import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bmtune.config.data_folders import IMAGE_FILES
from bmtune.data.images import IMAGE_SETS
from bmtune.data.images import ImageSet
from bmtune.data.images import Published

SIDE = 4
ROWS = {"train": 12, "test": 6}


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tiny_contents() -> dict[str, bytes]:
    """The unpacked files of an image set of 12 + 6 images with 4 x 4 pixels in 3 classes; pixel 0 is constant."""
    rng = np.random.default_rng(0)
    contents = {}
    for split, (images, labels) in IMAGE_FILES.items():
        pixels = rng.integers(0, 256, (ROWS[split], SIDE, SIDE), dtype=np.uint8)
        pixels[:, 0, 0] = 7
        contents[images] = idx(pixels)
        contents[labels] = idx((np.arange(ROWS[split]) % 3).astype(np.uint8))
    return contents


@pytest.fixture
def tiny_mnist(tiny_contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> ImageSet:
    """What `mnist` means in a test: the set of `tiny_contents`, with its sizes and sums."""
    published = {}
    for name, content in tiny_contents.items():
        packed = gzip.compress(content, mtime=0)
        published[name] = Published(len(packed), digest(packed), digest(content))
    images = ImageSet("mnist", "MNIST", ("a", "b", "c"), SIDE, ROWS, published)
    monkeypatch.setitem(IMAGE_SETS, "mnist", images)
    return images


@pytest.fixture
def write_images(tiny_contents: dict[str, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Writes the files of `tiny_contents` below a root, where torchvision has them, and returns the root."""

    def write(*, packed: bool, only: str = "") -> Path:
        folder = tmp_path / "root" / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in tiny_contents.items():
            if name.startswith(only):
                path = folder / (f"{name}.gz" if packed else name)
                path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
        return tmp_path / "root"

    return write
