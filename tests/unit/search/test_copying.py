"""A run is copied to another place while it goes on, and brought back from there."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow.fs import LocalFileSystem
from pyarrow.fs import SubTreeFileSystem
from pyarrow.fs import _MockFileSystem

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.errors import StorageError
from bmtune.search.copy_here import check_new
from bmtune.search.copy_here import fetch
from bmtune.search.copy_here import prepare
from bmtune.search.copy_place import CopyPlace
from bmtune.search.copy_place import answered
from bmtune.search.copying import Copier
from bmtune.search.lock import RunLock
from bmtune.search.request import SearchRequest

LAST = "checkpoints/trial-00000/last"
BEST = "checkpoints/trial-00000/best"


def checkpoint(run: Path, path: str, epoch: int) -> None:
    write_checkpoint(
        run / path, {"w": torch.full((3,), float(epoch))}, {"epoch": epoch}, keep_previous=path.endswith("last")
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "night"
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text("a: 1")
    (folder / "records.jsonl").write_bytes(b"one\ntwo\nto")
    (folder / "study.db").write_text("view")
    (folder / ".lock").touch()
    checkpoint(folder, LAST, 1)
    checkpoint(folder, BEST, 1)
    return folder


class Place(CopyPlace):
    """A place in a folder of this machine that counts what is written, and fails where it is told to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(SubTreeFileSystem(str(folder), LocalFileSystem()), "night", "far://runs/night")
        self.folder = folder / "night"
        self.written: list[str] = []
        self.fails: Callable[[str], bool] = lambda path: False

    def write(self, path: str, content: bytes) -> None:
        if self.fails(path):
            raise OSError("no network")
        self.written.append(path)
        super().write(path, content)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "there")


def copier(run: Path, place: CopyPlace, told: list[str] | None = None, every_s: float = 99.0) -> Copier:
    return Copier(run, place, (told if told is not None else []).append, every_s)


def test_a_copy_has_whole_lines_and_all_that_the_run_needs(run: Path, place: Place):
    copier(run, place).copy()
    assert set(place.names()) == {
        "records.jsonl",
        "search.yaml",
        *(f"{path}/{name}" for path in (LAST, BEST) for name in ("checkpoint.json", "tensors.safetensors")),
    }
    assert place.read("records.jsonl") == b"one\ntwo\n"
    assert read_checkpoint(place.folder / LAST)[1] == {"epoch": 1}
    assert place.written[-1] == "records.jsonl"


def test_only_changes_are_copied_again_and_what_is_gone_goes(run: Path, place: Place):
    found = copier(run, place)
    found.copy()
    place.written.clear()
    found.copy()
    assert place.written == []
    checkpoint(run, BEST, 2)
    (run / "search.yaml").unlink()
    found.copy()
    assert place.written == [f"{BEST}/tensors.safetensors", f"{BEST}/checkpoint.json"]
    assert read_checkpoint(place.folder / BEST)[1] == {"epoch": 2}
    assert "search.yaml" not in place.names()
    assert [name for name in place.names() if "previous" in name] == []


def test_a_file_system_of_pyarrow_that_is_no_disk_serves_as_well(run: Path, tmp_path: Path):
    place = CopyPlace(_MockFileSystem(), "runs/night", "mock://runs/night")
    copier(run, place).copy()
    assert fetch(place, tmp_path / "back")
    assert (tmp_path / "back" / "records.jsonl").read_bytes() == b"one\ntwo\n"
    place.remove("records.jsonl")
    place.remove("records.jsonl")
    assert "records.jsonl" not in place.names()


@pytest.mark.parametrize("which", [LAST, BEST])
def test_whoever_is_killed_while_a_checkpoint_is_replaced_leaves_a_sound_one(
    run: Path, place: Place, tmp_path: Path, which: str
):
    copier(run, place).copy()
    checkpoint(run, which, 2)
    place.fails = lambda path: path == f"{which}/checkpoint.json"
    for _ in range(2):
        with pytest.raises(OSError, match="no network"):
            copier(run, place).copy()
    back = tmp_path / "back"
    assert fetch(place, back)
    assert read_checkpoint(back / which)[1] == {"epoch": 1}
    assert read_checkpoint(back / which)[0]["w"].tolist() == [1.0] * 3


def test_records_never_name_a_checkpoint_that_is_not_there(run: Path, place: Place):
    place.fails = lambda path: path.startswith(LAST)
    with pytest.raises(OSError, match="no network"):
        copier(run, place).copy()
    assert "records.jsonl" not in place.names()


def test_a_network_that_is_away_is_told_once_and_what_is_missing_at_the_end(run: Path, place: Place):
    told: list[str] = []
    failed = threading.Semaphore(0)

    def away(path: str) -> bool:
        failed.release()
        return True

    place.fails = away
    found = copier(run, place, told, every_s=0.01)
    found.begin()
    for _ in range(3):
        assert failed.acquire(timeout=20)
    missing = found.finish(lambda: 0.0)
    assert told == ["the copy at far://runs/night is behind; trying again (no network)"]
    assert missing == "the copy at far://runs/night is not whole: 6 files are not there yet (no network)"


def test_a_network_that_comes_back_is_caught_up_with(run: Path, place: Place):
    told: list[str] = []
    again = threading.Event()
    place.fails = lambda path: not again.is_set()

    def tell(text: str) -> None:
        told.append(text)
        again.set()

    found = Copier(run, place, tell, 0.01)
    found.begin()
    assert again.wait(20)
    assert found.finish() is None
    assert told[0].endswith("is behind; trying again (no network)")
    assert place.read("records.jsonl") == b"one\ntwo\n"


def test_the_end_copies_what_is_left(run: Path, place: Place):
    found = copier(run, place)
    found.begin()
    assert place.written == []
    assert found.finish() is None
    assert place.written[-1] == "records.jsonl"


def test_a_place_that_hangs_holds_up_no_end(run: Path, place: Place):
    hangs, over = threading.Event(), threading.Event()

    def hang(path: str) -> bool:
        hangs.set()
        over.wait(60)
        return True

    place.fails = hang
    found = copier(run, place)
    found.begin()
    missing = found.finish(lambda: 0.0 if hangs.is_set() else 20.0)
    over.set()
    assert missing is not None
    assert "6 files are not there yet" in missing


def test_a_new_run_is_refused_where_there_is_one(run: Path, place: Place):
    check_new(place)
    copier(run, place).copy()
    with pytest.raises(RunFolderError, match=r"far://runs/night holds something already; give another --name, or --re"):
        check_new(place)


def test_a_run_that_is_further_elsewhere_is_brought_here(run: Path, place: Place):
    copier(run, place).copy()
    (run / "records.jsonl").write_bytes(b"one\ntw")
    (run / "stale").touch()
    with pytest.raises(RunFolderError, match="a dry run brings nothing here"):
        fetch(place, run, writes=False)
    assert fetch(place, run)
    assert (run / "records.jsonl").read_bytes() == b"one\ntwo\n"
    assert not (run / "stale").exists()
    assert [path.name for path in run.parent.iterdir()] == ["night"]


@pytest.mark.parametrize("records", [b"one\ntwo\n", b"one\ntwo\nthree\n"])
def test_a_run_that_is_as_far_here_stays(run: Path, place: Place, records: bytes):
    copier(run, place).copy()
    (run / "records.jsonl").write_bytes(records)
    assert not fetch(place, run)
    assert (run / "records.jsonl").read_bytes() == records


def test_a_run_that_went_on_in_two_places_is_refused(run: Path, place: Place):
    copier(run, place).copy()
    (run / "records.jsonl").write_bytes(b"one\nother\n")
    with pytest.raises(RunFolderError, match="each have records that the other lacks; remove the one"):
        fetch(place, run)


def test_a_run_that_is_being_written_is_not_replaced(run: Path, place: Place):
    copier(run, place).copy()
    (run / "records.jsonl").write_bytes(b"one\n")
    with RunLock(run), pytest.raises(RunFolderError, match="written by one process at a time"):
        fetch(place, run)


def test_a_run_that_is_nowhere_is_refused_and_one_that_is_only_here_goes_on(run: Path, place: Place, tmp_path: Path):
    assert not fetch(place, run)
    with pytest.raises(RunFolderError, match="far://runs/night holds none, nor does"):
        fetch(place, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_that_names_a_file_outside_of_it_brings_nothing(run: Path, place: Place, monkeypatch: Any):
    copier(run, place).copy()
    monkeypatch.setattr(place, "names", lambda: ("search.yaml", "/outside"))
    with pytest.raises(RunFolderError, match="must stay in its folder"):
        fetch(place, run.parent / "back")
    assert [path.name for path in run.parent.iterdir()] == ["night"]


def test_an_address_is_opened_by_pyarrow(run: Path, tmp_path: Path):
    address = (tmp_path / "far").as_uri()
    place = CopyPlace.open(address, "night")
    assert place.shown == f"{address}/night"
    copier(run, place).copy()
    assert (tmp_path / "far" / "night" / "records.jsonl").read_bytes() == b"one\ntwo\n"
    request = SearchRequest("gan", name="night", storage=tmp_path / "local", copy_at=address)
    with pytest.raises(RunFolderError, match="holds something already"):
        prepare(request)
    prepare(SearchRequest(None, name="night", resume=True, storage=tmp_path / "local", copy_at=address))
    assert (tmp_path / "local" / "night" / "search.yaml").read_text() == "a: 1"
    with pytest.raises(ConfigError, match="resumed by its name"):
        prepare(SearchRequest(None, resume=True, storage=tmp_path / "local", copy_at=address))


@pytest.mark.parametrize("address", ["nothing://bucket/runs", "file:relative"])
def test_a_place_that_nobody_knows_is_told_in_one_sentence(address: str):
    with pytest.raises(StorageError, match="must be one that can be reached and written, but .*/night is not"):
        CopyPlace.open(address, "night")


def test_a_place_that_does_not_answer_is_told_in_one_sentence():
    over = threading.Event()
    with pytest.raises(StorageError, match=r"far://x is not \(it did not answer in 0.01 s"):
        answered(lambda: over.wait(60), "far://x", 0.01)
    over.set()
