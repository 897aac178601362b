"""Our reading of image files against torchvision's, on files that this test writes."""

import struct
from pathlib import Path

import numpy as np
import pytest

from bmtune.config.data_folders import IMAGE_FILES
from bmtune.data.images import ImageSet
from bmtune.data.images import Published
from bmtune.data.images import read_split


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.slow
def test_images_and_labels_are_those_of_torchvision(tmp_path: Path):
    from torchvision.datasets import FashionMNIST

    rng = np.random.default_rng(0)
    rows = {"train": 20, "test": 7}
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for split, (images, labels) in IMAGE_FILES.items():
        (folder / images).write_bytes(idx(rng.integers(0, 256, (rows[split], 28, 28), dtype=np.uint8)))
        (folder / labels).write_bytes(idx(rng.integers(0, 10, rows[split], dtype=np.uint8)))
    published = {name: Published(0, "") for pair in IMAGE_FILES.values() for name in pair}
    ours = ImageSet("fashion_mnist", "FashionMNIST", tuple("0123456789"), 28, rows, published)
    for split in rows:
        theirs = FashionMNIST(tmp_path, train=split == "train")
        pixels, labels, _ = read_split(ours, split, tmp_path)
        assert np.array_equal(pixels, theirs.data.numpy())
        assert np.array_equal(labels, theirs.targets.numpy())
