import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bmtune.config.data import DataConfig
from bmtune.data import DataHandler
from bmtune.data import load_table
from bmtune.data.idx import read_idx
from bmtune.data.images import IMAGE_SETS
from bmtune.data.images import ImageSet
from bmtune.data.images import Published
from bmtune.data.images import read_split
from bmtune.errors import DataError

Write = Callable[..., Path]
TRAIN = "train-images-idx3-ubyte"


def pixels(contents: dict[str, bytes], name: str) -> np.ndarray:
    return read_idx(contents[name], Path(name), 3)


@pytest.mark.parametrize("packed", [True, False])
def test_both_splits_are_read_packed_or_plain(
    tiny_mnist: ImageSet, tiny_contents: dict[str, bytes], write_images: Write, *, packed: bool
):
    root = write_images(packed=packed)
    before = sorted(path.name for path in (root / "MNIST/raw").iterdir())
    table = load_table("mnist", root=root)
    assert np.array_equal(table.x[:12], pixels(tiny_contents, TRAIN).reshape(12, 16))
    assert np.array_equal(table.x[12:], pixels(tiny_contents, "t10k-images-idx3-ubyte").reshape(6, 16))
    assert table.y.tolist() == [0, 1, 2] * 6
    assert table.test_rows.tolist() == list(range(12, 18))
    assert (table.kind, table.class_names) == ("images", ("a", "b", "c"))
    assert table.origin.endswith("MNIST/raw; SHA-256 as published")
    assert sorted(path.name for path in (root / "MNIST/raw").iterdir()) == before


def test_a_folder_with_the_name_of_the_set_will_do(tiny_mnist: ImageSet, write_images: Write):
    root = write_images(packed=True)
    shutil.move(root / "MNIST" / "raw", root / "mnist")
    assert len(load_table("mnist", root=root).y) == 18


@pytest.mark.parametrize("pool", [2, 4])
def test_pooled_features_are_the_means_of_squares(
    tiny_mnist: ImageSet, tiny_contents: dict[str, bytes], write_images: Write, pool: int
):
    table = load_table("mnist", root=write_images(packed=True), pool=pool)
    images = pixels(tiny_contents, TRAIN).astype(float)
    side = 4 // pool
    for row in range(side):
        for column in range(side):
            square = images[:, row * pool : (row + 1) * pool, column * pool : (column + 1) * pool]
            assert np.array_equal(table.x[:12, row * side + column], square.mean((1, 2)))
    assert table.feature_names[-1] == f"pixel_{side - 1}_{side - 1}"


def test_only_the_files_of_the_split_are_looked_at(tiny_mnist: ImageSet, write_images: Write):
    root = write_images(packed=True, only="train")
    assert len(read_split(tiny_mnist, "train", root)[0]) == 12
    with pytest.raises(DataError, match=r"MNIST/raw lacks t10k-images-idx3-ubyte and t10k-labels") as caught:
        read_split(tiny_mnist, "test", root)
    assert "get them with `bmtune data fetch mnist`" in str(caught.value)


def test_missing_files_are_named_with_folder_and_command(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        load_table("fashion_mnist", root=tmp_path)
    message = str(caught.value)
    assert f"{tmp_path}/FashionMNIST/raw lacks train-images-idx3-ubyte and train-labels-idx1-ubyte" in message
    assert "`bmtune data fetch fashion_mnist`" in message


def damage(path: Path, change: Callable[[bytearray], bytes]) -> None:
    path.write_bytes(change(bytearray(path.read_bytes())))


def flip(content: bytearray) -> bytes:
    content[-1] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("packed", "change", "message"),
    [
        (True, flip, "published SHA-256"),
        (False, flip, "published SHA-256"),
        (True, lambda content: content[:-9], "bytes instead of"),
        (False, lambda content: content[:-9], "published SHA-256"),
        (True, lambda content: b"", "0 bytes instead of"),
    ],
)
def test_a_changed_or_truncated_file_is_refused(tiny_mnist: ImageSet, write_images: Write, packed, change, message):
    root = write_images(packed=packed)
    damage(root / "MNIST/raw" / (TRAIN + ".gz" * packed), change)
    with pytest.raises(DataError, match=message) as caught:
        load_table("mnist", root=root)
    assert TRAIN in str(caught.value)


def unsummed(images: ImageSet, *, balanced: bool = False) -> ImageSet:
    """The set as it would be if nobody had published sums of the unpacked files."""
    published = {name: Published(known.size, known.packed) for name, known in images.published.items()}
    return images._replace(published=published, balanced=balanced)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (TRAIN, lambda content: content[:-1], "12 x 4 x 4 values take 208"),
        (TRAIN, lambda content: content + b"\0", "has 209 bytes"),
        (TRAIN, lambda content: content[:9], "header of 16 bytes"),
        (TRAIN, lambda content: b"", "begins with nothing"),
        (TRAIN, lambda content: b"\x1f\x8b" + content, "must begin with 00000803"),
        (
            "train-labels-idx1-ubyte",
            lambda content: content[:7] + b"\x0b" + content[8:-1],
            "12 images and .* 11 labels",
        ),
        ("train-labels-idx1-ubyte", lambda content: content[:-1] + b"\x03", "labels below 3"),
        ("train-labels-idx1-ubyte", lambda content: content[:-1] + b"\x00", "same number of images"),
    ],
)
def test_without_a_sum_header_length_counts_and_labels_are_checked(
    tiny_mnist: ImageSet, write_images: Write, name, change, message
):
    root = write_images(packed=False)
    images = unsummed(tiny_mnist, balanced=True)
    assert read_split(images, "train", root)[2].startswith("no SHA-256 of unpacked files is published")
    damage(root / "MNIST/raw" / name, change)
    with pytest.raises(DataError, match=message):
        read_split(images, "train", root)


def test_a_packed_file_that_cannot_be_unpacked_is_refused(tiny_mnist: ImageSet, write_images: Write):
    root = write_images(packed=True)
    broken = gzip.compress(b"x" * 400)[:-12]
    (root / "MNIST/raw" / f"{TRAIN}.gz").write_bytes(broken)
    sums = {name: Published(len(broken), hashlib.sha256(broken).hexdigest()) for name in tiny_mnist.published}
    with pytest.raises(DataError, match=r"must be readable, but .*idx3-ubyte.gz is not"):
        read_split(tiny_mnist._replace(published=sums), "train", root)


def test_a_handler_tests_on_the_official_split_and_counts_constant_pixels(tiny_mnist: ImageSet, write_images: Write):
    config = DataConfig(dataset="mnist", root=str(write_images(packed=True)), test_fraction=0.1)
    data = DataHandler(config, (-1.0, 1.0))
    assert {name: len(split.y) for name, split in data.splits.items()} == {"train": 9, "valid": 3, "test": 6}
    assert (data.has_official_test, data.kind, data.num_constant) == (True, "images", 1)
    assert not data.splits["test"].x[:, 0].any()
    assert data.clipped["train"] == 0
    assert data.clipped["test"] > 0


def test_the_content_hash_follows_the_pixels_and_not_the_folder(
    tiny_mnist: ImageSet, write_images: Write, tmp_path: Path
):
    root = write_images(packed=True)
    shutil.copytree(root, tmp_path / "copy")
    configs = [
        DataConfig(dataset="mnist", root=str(folder), pool=pool)
        for folder, pool in ((root, 1), (tmp_path / "copy", 1), (root, 2))
    ]
    first, copied, pooled = (DataHandler(config, (0.0, 1.0)).content_hash for config in configs)
    assert first == copied != pooled


def test_the_published_sums_are_written_out_for_each_file():
    for images in IMAGE_SETS.values():
        assert len(images.published) == 4
        sums = [entry for known in images.published.values() for entry in (known.packed, known.plain) if entry]
        assert len(set(sums)) == len(sums)
        assert all(len(entry) == 64 and int(entry, 16) for entry in sums)
