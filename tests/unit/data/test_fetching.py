import gzip
import threading
from pathlib import Path

import pytest

from bmtune.data import load_table
from bmtune.data.fetching import fetch_images
from bmtune.data.fetching import torchvision_mirrors
from bmtune.data.images import IMAGE_SETS
from bmtune.data.images import ImageSet
from bmtune.errors import DataError


class Seen:
    """Remembers which files were downloaded wholly."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        assert 0 < done <= total
        if done == total:
            self.files.append(name)


@pytest.fixture
def mirror(tiny_contents: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in tiny_contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return folder


def url(folder: Path) -> str:
    return f"{folder.as_uri()}/"


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != ".fetch.lock")


def test_a_fetched_set_loads_and_is_not_fetched_again(tiny_mnist: ImageSet, mirror: Path, tmp_path: Path):
    root, seen = tmp_path / "root", Seen()
    folder = fetch_images(tiny_mnist, root, [url(mirror)], seen)
    assert folder == root / "MNIST" / "raw"
    assert sorted(seen.files) == visible(root) == sorted(f"{name}.gz" for name in tiny_mnist.published)
    assert len(load_table("mnist", root=root).y) == 18
    again = Seen()
    fetch_images(tiny_mnist, root, [], again)
    assert again.files == []


def test_a_damaged_file_is_replaced(tiny_mnist: ImageSet, mirror: Path, tmp_path: Path):
    folder = fetch_images(tiny_mnist, tmp_path / "root", [url(mirror)], Seen())
    damaged = folder / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(b"half")
    seen = Seen()
    fetch_images(tiny_mnist, tmp_path / "root", [url(mirror)], seen)
    assert seen.files == [damaged.name]
    assert damaged.read_bytes() == (mirror / damaged.name).read_bytes()


def test_the_next_mirror_is_tried(tiny_mnist: ImageSet, mirror: Path, tmp_path: Path):
    mirrors = [url(tmp_path / "nowhere"), "no-address/", url(mirror)]
    fetch_images(tiny_mnist, tmp_path / "root", mirrors, Seen())
    assert len(load_table("mnist", root=tmp_path / "root").y) == 18


@pytest.mark.parametrize("content", [b"", b"shorter", b"x" * 10_000])
def test_a_failed_download_leaves_no_file(tiny_mnist: ImageSet, mirror: Path, tmp_path: Path, content: bytes):
    (mirror / "t10k-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte.gz of mnist must be downloaded") as caught:
        fetch_images(tiny_mnist, tmp_path / "root", [url(mirror)], lambda *_: None)
    assert "published size" in str(caught.value)
    assert visible(tmp_path / "root") == []
    with pytest.raises(DataError, match="none gave it"):
        fetch_images(tiny_mnist, tmp_path / "root", ["http://127.0.0.1:9/"], lambda *_: None)
    assert visible(tmp_path / "root") == []


def test_a_folder_that_cannot_be_written_is_named(tiny_mnist: ImageSet, tmp_path: Path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(DataError, match=f"must be writable, but {tmp_path}/root/MNIST/raw is not"):
        fetch_images(tiny_mnist, tmp_path / "root", [], Seen())


def test_several_processes_download_once(tiny_mnist: ImageSet, mirror: Path, tmp_path: Path):
    seen = Seen()
    arguments = (tiny_mnist, tmp_path / "root", [url(mirror)], seen)
    threads = [threading.Thread(target=fetch_images, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen.files) == visible(tmp_path / "root")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_torchvision_knows_mirrors_and_the_same_files(name: str):
    from torchvision import datasets

    images = IMAGE_SETS[name]
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in torchvision_mirrors(images))
    resources = getattr(datasets, images.source).resources
    assert [file for file, _ in resources] == [f"{published}.gz" for published in images.published]
