"""MNIST and Fashion-MNIST, read from the files that torchvision keeps, each checked before it is used.

torchvision's own classes load a file in which a byte was flipped, want all four files where a split takes two,
unpack to disk, and prefer an old `processed/*.pt` to the files that were checked. So the folders, the names and
the mirrors are torchvision's, and the reading is done here.

References:
    LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747.
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bmtune.config.data_folders import IMAGE_FILES
from bmtune.config.data_folders import image_folder
from bmtune.config.data_folders import missing_images
from bmtune.data.idx import read_idx
from bmtune.data.table import Table
from bmtune.data.table import Values
from bmtune.errors import DataError

Pixels = NDArray[np.uint8]


class Published(NamedTuple):
    """What is known of a file from those who published it.

    Attributes:
        size: Bytes of the packed file, `NAME.gz`.
        packed: SHA-256 of the packed file.
        plain: SHA-256 of the unpacked file; None where nobody has published it.
    """

    size: int
    packed: str
    plain: str | None = None


class ImageSet(NamedTuple):
    """An image set with an official test split.

    Attributes:
        name: Its name in the configuration.
        source: The class of `torchvision.datasets` that knows its mirrors.
        class_names: Name of each label.
        side: Pixels of an edge.
        rows: Images of each split, "train" and "test".
        published: Sizes and sums of the files, by name without `.gz`.
        balanced: Whether each class has the same number of images in a split.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    side: int
    rows: Mapping[str, int]
    published: Mapping[str, Published]
    balanced: bool = False


_ROWS = {"train": 60_000, "test": 10_000}

IMAGE_SETS: Mapping[str, ImageSet] = {
    "mnist": ImageSet(
        name="mnist",
        source="MNIST",
        class_names=tuple("0123456789"),
        side=28,
        rows=_ROWS,
        published={
            "train-images-idx3-ubyte": Published(
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            "train-labels-idx1-ubyte": Published(
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            "t10k-images-idx3-ubyte": Published(
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            "t10k-labels-idx1-ubyte": Published(
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        },
    ),
    "fashion_mnist": ImageSet(
        name="fashion_mnist",
        source="FashionMNIST",
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        side=28,
        rows=_ROWS,
        # Sums of the packed files only: no publisher gives those of the unpacked ones.
        published={
            "train-images-idx3-ubyte": Published(
                26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte": Published(
                29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte": Published(
                4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte": Published(
                5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
        balanced=True,
    ),
}
"""The image sets by name."""


def load_images(images: ImageSet, root: Path, pool: int = 1) -> Table:
    """Both splits of an image set as one table; a feature is a grey level from 0 to 255, or the mean of a square.

    Args:
        images: The set.
        root: Folder of data files.
        pool: Edge of the squares, 1 for the pixels themselves.

    Raises:
        DataError: A file is missing or differs from the published one, or images and labels differ in number.
    """
    (train, train_y, _), (test, test_y, checked) = (read_split(images, split, root) for split in ("train", "test"))
    side = images.side // pool
    return Table(
        name=images.name,
        x=_features(np.concatenate((train, test)), pool),
        y=np.concatenate((train_y, test_y)).astype(np.int64),
        class_names=images.class_names,
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(side) for column in range(side)),
        test_rows=np.arange(len(train), len(train) + len(test), dtype=np.int64),
        kind="images",
        origin=f"{image_folder(images.name, root)}; {checked}",
    )


def read_split(images: ImageSet, split: str, root: Path) -> tuple[Pixels, Pixels, str]:
    """The images (R, side, side) and labels (R,) of one split, and how they were checked.

    Only the two files of this split are looked at, packed where both forms are there.

    Raises:
        DataError: As `load_images`.
    """
    folder = image_folder(images.name, root)
    names = IMAGE_FILES[split]
    _refuse_missing(images, folder, names)
    contents = [_checked_content(folder, name, images.published[name]) for name in names]
    pixels, labels = (
        read_idx(content, folder / name, num_dims)
        for (content, _), name, num_dims in zip(contents, names, (3, 1), strict=True)
    )
    if len(pixels) != len(labels):
        raise DataError(
            f"there must be one label for each image, but {folder / names[0]} holds {len(pixels)} images and "
            f"{names[1]} {len(labels)} labels; {_fetch(images)}"
        )
    wanted = (images.rows[split], images.side, images.side)
    if pixels.shape != wanted or labels.max(initial=0) >= len(images.class_names):
        raise DataError(
            f"the {split} split of {images.name} must be {' x '.join(map(str, wanted))} pixels with labels below "
            f"{len(images.class_names)}, but {folder / names[0]} holds {' x '.join(map(str, pixels.shape))} and the "
            f"largest label is {labels.max(initial=0)}; {_fetch(images)}"
        )
    if all(summed for _, summed in contents):
        return pixels, labels, "SHA-256 as published"
    counts = np.bincount(labels, minlength=len(images.class_names))
    if images.balanced and counts.min() != counts.max():
        raise DataError(
            f"each class of {images.name} must have the same number of images, but {folder / names[1]} has from "
            f"{counts.min()} to {counts.max()}: it was changed or belongs to another set; {_fetch(images)}"
        )
    return pixels, labels, "no SHA-256 of unpacked files is published: headers, sizes and class counts checked"


def check_packed(content: bytes, place: Path | str, published: Published) -> None:
    """Refuses a packed file that differs from the published one.

    Raises:
        DataError: Its size or its sum is another one.
    """
    if len(content) != published.size:
        raise DataError(
            f"a file must have its published size, but {place} has {len(content)} bytes instead of {published.size}: "
            "it is truncated or another file; fetch it again"
        )
    _check_sum(content, place, published.packed)


def _check_sum(content: bytes, place: Path | str, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"a file must have its published SHA-256, but that of {place} begins with {found[:12]} instead of "
            f"{expected[:12]}: a byte in it was changed; fetch it again"
        )


def _checked_content(folder: Path, name: str, published: Published) -> tuple[bytes, bool]:
    """The unpacked content of a file, and whether it was compared with a published sum."""
    packed = folder / f"{name}.gz"
    path = packed if packed.is_file() else folder / name
    try:
        content = path.read_bytes()
        if path == packed:
            check_packed(content, packed, published)
            return gzip.decompress(content), True
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"a data file must be readable, but {path} is not ({error}); fetch it again") from error
    if published.plain is not None:
        _check_sum(content, path, published.plain)
    return content, published.plain is not None


def _refuse_missing(images: ImageSet, folder: Path, names: tuple[str, str]) -> None:
    missing = [name for name in names if name in missing_images(folder)]
    if missing:
        raise DataError(
            f"the files of {images.name} must be there, but {folder} lacks {' and '.join(missing)}, plain or with "
            f".gz; {_fetch(images)}, or name another folder in data.root or $BMTUNE_DATA"
        )


def _fetch(images: ImageSet) -> str:
    return f"get them with `bmtune data fetch {images.name}`"


def _features(pixels: Pixels, pool: int) -> Values:
    """One row an image: its pixels, or the means of its squares, which float32 holds exactly."""
    if pool == 1:
        return pixels.reshape(len(pixels), -1)
    side = pixels.shape[1] // pool
    squares = pixels.reshape(len(pixels), side, pool, side, pool)
    means: NDArray[np.float32] = squares.mean(axis=(2, 4), dtype=np.float32)
    return means.reshape(len(pixels), -1)
