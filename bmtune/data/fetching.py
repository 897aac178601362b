"""Downloads an image set from torchvision's mirrors: checked, under a lock, all of it or nothing."""

import http.client
import tempfile
import urllib.request
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from bmtune.config.data_folders import IMAGE_FOLDERS
from bmtune.data.images import ImageSet
from bmtune.data.images import check_packed
from bmtune.errors import DataError

Progress = Callable[[str, int, int], None]
"""Told the name of a file, the bytes of it that are there and those that will be."""

_TIMEOUT_S = 30.0
_CHUNK = 1 << 16


def torchvision_mirrors(images: ImageSet) -> tuple[str, ...]:
    """The addresses that torchvision knows for an image set, each of a folder.

    Raises:
        DataError: torchvision cannot be imported.
    """
    try:
        # Imported here: it takes seconds, and only a download needs it.
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        raise DataError(
            f"torchvision must fit the installed torch, but it cannot be imported ({error}); install both again"
        ) from error
    mirrors: Sequence[str] = getattr(datasets, images.source).mirrors
    return tuple(mirrors)


def fetch_images(images: ImageSet, root: Path, mirrors: Sequence[str], progress: Progress) -> Path:
    """The folder below `root` that holds the packed files of an image set, downloaded where they are not there yet.

    Several processes may fetch at once: one downloads, the others wait and find the files.

    Args:
        images: The set.
        root: Folder of data files; it is made if it is not there.
        mirrors: Addresses of folders, tried in order for each file.
        progress: Told what was downloaded.

    Raises:
        DataError: No mirror gave a file that is equal to the published one, or the folder cannot be written.
    """
    folder = root / IMAGE_FOLDERS[images.name][0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".fetch.lock"), tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging:
            wanted = [name for name in images.published if not _is_there(images, folder, name)]
            for name in wanted:
                content = _download(images, name, mirrors, progress)
                (Path(staging) / f"{name}.gz").write_bytes(content)
            # Moved only now that all are right, so that a set is never half there.
            for name in wanted:
                (Path(staging) / f"{name}.gz").replace(folder / f"{name}.gz")
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"a folder of data files must be writable, but {folder} is not ({reason}); name another with --root"
        ) from error
    return folder


def _is_there(images: ImageSet, folder: Path, name: str) -> bool:
    path = folder / f"{name}.gz"
    if not path.is_file():
        return False
    try:
        check_packed(path.read_bytes(), path, images.published[name])
    except DataError:
        # Damaged: it is replaced.
        return False
    return True


def _download(images: ImageSet, name: str, mirrors: Sequence[str], progress: Progress) -> bytes:
    """The first answer of a mirror that is equal to the published file."""
    reasons: list[str] = []
    for mirror in mirrors:
        url = f"{mirror}{name}.gz"
        try:
            content = _read(url, images.published[name].size, lambda done, total: progress(f"{name}.gz", done, total))
            check_packed(content, url, images.published[name])
        except (OSError, http.client.HTTPException, ValueError, DataError) as error:
            reasons.append(f"{mirror} {getattr(error, 'reason', error)}")
        else:
            return content
    raise DataError(
        f"{name}.gz of {images.name} must be downloaded from one of its mirrors, but none gave it "
        f"({', '.join(reasons) or 'there is none'}); "
        "connect to the network, or put the files there yourself"
    )


def _read(url: str, size: int, progress: Callable[[int, int], None]) -> bytes:
    content = bytearray()
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        # One byte more than wanted is enough to know that it is another file.
        while len(content) <= size and (chunk := answer.read(min(_CHUNK, size + 1 - len(content)))):
            content += chunk
            progress(len(content), size)
    return bytes(content)
