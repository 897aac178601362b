import gzip
import hashlib
import struct
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmtune.config.data_folders import IMAGE_FILES
from bmtune.config.space import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.data.images import IMAGE_SETS
from bmtune.data.images import ImageSet
from bmtune.data.images import Published
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.reports.history import RunRead
from bmtune.reports.history import read_run

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


@dataclass(frozen=True)
class Told:
    """A trial as a test tells of it: the loss of each epoch, and how it ended; status None: it has not."""

    losses: Sequence[float] = ()
    status: str | None = "completed"
    reason: str = "all epochs were trained"
    error: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    rungs: dict[int, str] = field(default_factory=dict)


def trial_records(number: int, told: Told, space: SearchSpace) -> Iterator[Record]:
    """Its records: an epoch takes 2 s, and trials follow each other by 10 s."""
    began = 100.0 + 10 * number
    params = {**space.base_params(), **told.params}
    yield TrialStarted(trial=number, params=params, seed=number, time=began)
    best: tuple[int, dict[str, float]] | None = None
    for epoch, loss in enumerate(told.losses, start=1):
        metrics = {"train/loss": 2 * loss, "acc": 1 - loss, "loss": loss}
        if best is None or loss < best[1]["loss"]:
            best = (epoch, metrics)
        yield Epoch(
            trial=number,
            phase="pre",
            epoch=epoch,
            budget=epoch,
            metrics=metrics,
            seconds=2.0,
            eligible=True,
            best_epoch=best[0],
            best_metrics=best[1],
        )
        if epoch in told.rungs:
            yield Rung.model_validate(
                {"trial": number, "rung": epoch, "value": best[1]["loss"], "decision": told.rungs[epoch]}
            )
    if told.status is not None:
        facts = {"best_epoch": best[0], "best_metrics": best[1], "value": best[1]["loss"]} if best else {}
        yield TrialFinished.model_validate(
            {
                "trial": number,
                "status": told.status,
                "reason": told.reason,
                "error": told.error,
                "time": began + 2 * len(told.losses),
                **facts,
            }
        )


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def write_run(tmp_path: Path, make_space: Callable[..., SearchSpace]) -> Callable[..., Path]:
    """Writes the folder of a run that went as it is told: 9 epochs, lowest loss."""

    def write(
        *trials: Told, name: str = "night", ended: bool = True, replaced: Sequence[tuple[str, str]] = (), **header: Any
    ) -> Path:
        space = make_space(*replaced)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "search.yaml").write_text(dump(space.to_mapping()))
        started = {
            "run": name,
            "trainer": "classification",
            "dataset": "moons_small",
            "data_hash": "ab" * 32,
            "objective": Objective(metric="loss", mode="min"),
            "trials": 8,
            "max_epochs": 9,
            "seed": 0,
            "bmtune": "0.1.0",
            "time": 100.0,
            **header,
        }
        with RecordWriter(folder / "records.jsonl") as writer:
            writer.write(RunStarted.model_validate(started))
            for number, told in enumerate(trials):
                for record in trial_records(number, told, space):
                    writer.write(record)
            if ended:
                writer.write(RunFinished(reason="all trials ended", best=0, time=100.0 + 10 * len(trials) + 40))
        return folder

    return write


@pytest.fixture
def recorded(write_run: Callable[..., Path]) -> Callable[..., RunRead]:
    """The same, read."""

    def read(*trials: Told, **wishes: Any) -> RunRead:
        return read_run(write_run(*trials, **wishes))

    return read
