import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bmtune.checkpoints import folder as module
from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import recover_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.errors import CheckpointError
from bmtune.errors import FormatError

FACTS = {"epoch": 3, "metrics": {"acc": 0.5, "fid": None}, "history": [1, 2.5], "name": "größer", "done": False}
DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
    torch.int64,
    torch.uint8,
    torch.bool,
]


def edit(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def entries(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator, dtype=torch.complex128)
    tensor = (values if dtype.is_complex else values.real.mul(100)).to(dtype)
    write_checkpoint(tmp_path / "best", {"core": tensor}, FACTS)
    tensors, facts = read_checkpoint(tmp_path / "best")
    assert tensors["core"].dtype == dtype
    assert tensors["core"].shape == shape
    assert torch.equal(tensors["core"], tensor)
    assert facts == FACTS


def test_views_conjugates_and_parameters_are_kept_by_value(tmp_path: Path):
    base = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    wave = torch.complex(base, -base)
    tensors = {
        "base": base,
        "row": base[1],
        "transposed": base.T,
        "conjugate": wave.conj(),
        "negated": wave.conj().imag,
        "parameter": torch.nn.Parameter(base),
    }
    write_checkpoint(tmp_path / "best", tensors, {})
    read, _ = read_checkpoint(tmp_path / "best")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_without_tensors_is_one(tmp_path: Path):
    write_checkpoint(tmp_path / "deep" / "best", {}, {})
    assert read_checkpoint(tmp_path / "deep" / "best") == ({}, {})


def test_the_folder_holds_two_files_and_nothing_is_left_beside_it(tmp_path: Path):
    for epoch in range(3):
        write_checkpoint(tmp_path / "last", {"core": torch.ones(2)}, {"epoch": epoch})
    assert entries(tmp_path) == {"last"}
    assert entries(tmp_path / "last") == {"tensors.safetensors", "checkpoint.json"}
    assert read_checkpoint(tmp_path / "last")[1] == {"epoch": 2}


@pytest.mark.parametrize("changes", [{"version": 2}, {"format": "other.format"}, {"version": "1"}])
def test_an_unknown_format_or_version_is_refused_by_name_and_version(tmp_path: Path, changes: dict[str, object]):
    write_checkpoint(tmp_path / "best", {}, {})
    edit(tmp_path / "best", **changes)
    with pytest.raises(FormatError) as caught:
        read_checkpoint(tmp_path / "best")
    found = {"format": "bmtune.checkpoint", "version": 1} | changes
    assert f"has format {found['format']!r} version {found['version']!r}" in str(caught.value)
    assert "must have format 'bmtune.checkpoint' version 1" in str(caught.value)


@pytest.mark.parametrize("name", ["tensors.safetensors", "checkpoint.json"])
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, name: str):
    write_checkpoint(tmp_path / "best", {"core": torch.ones(3), "wave": torch.ones(2, dtype=torch.complex64)}, FACTS)
    path = tmp_path / "best" / name
    content = path.read_bytes()
    for place in range(0, len(content), 2):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises((CheckpointError, FormatError), match=str(tmp_path / "best")):
            read_checkpoint(tmp_path / "best")
    path.write_bytes(content)
    assert read_checkpoint(tmp_path / "best")[1] == FACTS


@pytest.mark.parametrize("name", ["tensors.safetensors", "checkpoint.json"])
def test_a_missing_file_is_named_with_the_folder(tmp_path: Path, name: str):
    write_checkpoint(tmp_path / "best", {"core": torch.ones(3)}, {})
    (tmp_path / "best" / name).unlink()
    with pytest.raises(CheckpointError, match=str(tmp_path / "best")):
        read_checkpoint(tmp_path / "best")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("a file"), lambda path: path.mkdir()])
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, make):
    make(tmp_path / "best")
    with pytest.raises(CheckpointError, match="a checkpoint is a folder with"):
        read_checkpoint(tmp_path / "best")


@pytest.mark.parametrize("document", ["[]", "{", "", '{"format": "bmtune.checkpoint", "version": 1}'])
def test_a_document_that_is_not_ours_is_damage(tmp_path: Path, document: str):
    write_checkpoint(tmp_path / "best", {}, {})
    (tmp_path / "best" / "checkpoint.json").write_text(document)
    with pytest.raises(CheckpointError, match="must match their checksums"):
        read_checkpoint(tmp_path / "best")


def test_tensors_that_were_never_safetensors_are_damage_even_with_a_right_checksum(tmp_path: Path):
    write_checkpoint(tmp_path / "best", {"core": torch.ones(3)}, {})
    (tmp_path / "best" / "tensors.safetensors").write_bytes(b"")
    edit(tmp_path / "best", tensors_sha256=module.sha256(b"").hexdigest())
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(tmp_path / "best")


def test_facts_that_json_cannot_hold_write_nothing(tmp_path: Path):
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "best", {}, {"tensor": torch.ones(1)})
    assert entries(tmp_path) == set()


class Killed(BaseException):
    """Stands for a SIGKILL: no handler of the code under test may run past it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Lets the first `step` writes and renames pass and dies at the next; returns the list of those done."""
    done: list[str] = []
    rename, write = Path.rename, module._write_to_disk

    def counted(name: str, call, *args):
        if len(done) == step:
            raise Killed
        done.append(name)
        return call(*args)

    monkeypatch.setattr(Path, "rename", lambda path, target: counted("rename", rename, path, target))
    monkeypatch.setattr(module, "_write_to_disk", lambda path, content: counted("write", write, path, content))
    return done


@pytest.mark.parametrize("step", range(4))
def test_a_writer_killed_anywhere_leaves_the_old_checkpoint_and_the_next_write_works(tmp_path, monkeypatch, step):
    folder = tmp_path / "last"
    write_checkpoint(folder, {"core": torch.zeros(2)}, {"epoch": 1})
    with monkeypatch.context() as patch:
        done = kill_at(patch, step)
        with pytest.raises(Killed):
            write_checkpoint(folder, {"core": torch.ones(2)}, {"epoch": 2})
    assert done == ["write", "write", "rename", "rename"][:step]
    tensors, facts = read_checkpoint(folder)
    assert facts == {"epoch": 1}
    assert torch.equal(tensors["core"], torch.zeros(2))
    write_checkpoint(folder, {"core": torch.ones(2)}, {"epoch": 3})
    assert read_checkpoint(folder)[1] == {"epoch": 3}
    assert entries(tmp_path) == {"last"}


def test_a_half_written_folder_beside_is_never_read(tmp_path: Path):
    (tmp_path / ".best.new").mkdir()
    (tmp_path / ".best.new" / "checkpoint.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a checkpoint is a folder with"):
        read_checkpoint(tmp_path / "best")


def test_a_reader_that_is_overtaken_by_a_writer_reads_one_of_the_two_whole(tmp_path, monkeypatch):
    folder = tmp_path / "last"
    write_checkpoint(tmp_path / "next", {"core": torch.ones(2)}, {"epoch": 2})
    write_checkpoint(folder, {"core": torch.zeros(2)}, {"epoch": 1})
    read, swapped = Path.read_bytes, []

    def swap_between_the_files(path: Path) -> bytes:
        content = read(path)
        if not swapped:
            swapped.append(path.name)
            shutil.rmtree(folder)
            (tmp_path / "next").rename(folder)
        return content

    monkeypatch.setattr(Path, "read_bytes", swap_between_the_files)
    tensors, facts = read_checkpoint(folder)
    assert swapped == ["checkpoint.json"]
    assert facts == {"epoch": 2}
    assert torch.equal(tensors["core"], torch.ones(2))


def test_a_checkpoint_between_two_renames_is_still_there(tmp_path: Path):
    folder = tmp_path / "last"
    assert not has_checkpoint(folder)
    write_checkpoint(folder, {"x": torch.ones(2)}, FACTS)
    assert has_checkpoint(folder)
    folder.rename(tmp_path / ".last.previous")
    assert has_checkpoint(folder)
    assert read_checkpoint(folder)[1] == FACTS


def write_last(folder: Path, *epochs: int) -> None:
    for epoch in epochs:
        write_checkpoint(folder, {"core": torch.full((3,), float(epoch))}, {"epoch": epoch}, keep_previous=True)


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit in the tensors": lambda folder: flip(folder / "tensors.safetensors"),
    "half of the tensors": lambda folder: (folder / "tensors.safetensors").write_bytes(b"half"),
    "no tensors": lambda folder: (folder / "tensors.safetensors").unlink(),
    "half of the facts": lambda folder: (folder / "checkpoint.json").write_text('{"format": "bmtune.ch'),
    "no facts": lambda folder: (folder / "checkpoint.json").unlink(),
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("a file")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_falls_back_to_the_one_before_which_the_next_write_does_not_push_out(
    tmp_path: Path, damage: Callable[[Path], object]
):
    folder = tmp_path / "last"
    write_last(folder, 1, 2, 3)
    assert entries(tmp_path) == {"last", ".last.previous"}
    damage(folder)
    found = recover_checkpoint(folder)
    assert found.checkpoint is not None
    tensors, facts = found.checkpoint
    assert facts == {"epoch": 2}
    assert tensors["core"].tolist() == [2.0] * 3
    assert len(found.damage) == 1
    assert str(folder) in found.damage[0]
    write_last(folder, 4)
    damage(folder)
    again = recover_checkpoint(folder)
    assert again.checkpoint is not None
    assert again.checkpoint[1] == {"epoch": 2}


def test_a_sound_checkpoint_is_recovered_without_a_word_and_so_is_one_whose_replacement_was_cut_short(tmp_path: Path):
    folder = tmp_path / "last"
    assert recover_checkpoint(folder) == (None, ())
    write_last(folder, 1, 2)
    found = recover_checkpoint(folder)
    assert found.checkpoint is not None
    assert (found.checkpoint[1], found.damage) == ({"epoch": 2}, ())
    shutil.rmtree(folder)
    found = recover_checkpoint(folder)
    assert found.checkpoint is not None
    assert (found.checkpoint[1], found.damage) == ({"epoch": 1}, ())


def test_where_both_are_damaged_nothing_is_recovered_and_both_are_named(tmp_path: Path):
    folder = tmp_path / "last"
    write_last(folder, 1, 2)
    flip(folder / "tensors.safetensors")
    flip(tmp_path / ".last.previous" / "tensors.safetensors")
    found = recover_checkpoint(folder)
    assert found.checkpoint is None
    assert ["previous" in text for text in found.damage] == [False, True]
    write_last(folder, 1)
    assert recover_checkpoint(folder).checkpoint is not None


def test_an_unknown_version_is_refused_by_name_and_not_taken_for_damage(tmp_path: Path):
    folder = tmp_path / "last"
    write_last(folder, 1, 2)
    edit(folder, version=7)
    with pytest.raises(FormatError, match="version 7"):
        recover_checkpoint(folder)
    assert entries(tmp_path) == {"last", ".last.previous"}


@pytest.mark.parametrize("step", range(4))
def test_a_writer_that_keeps_two_and_is_killed_anywhere_leaves_one_that_is_sound(tmp_path, monkeypatch, step):
    folder = tmp_path / "last"
    write_last(folder, 1, 2)
    with monkeypatch.context() as patch:
        done = kill_at(patch, step)
        with pytest.raises(Killed):
            write_last(folder, 3)
    assert len(done) == step
    found = recover_checkpoint(folder)
    assert found.checkpoint is not None
    assert (found.checkpoint[1], found.damage) == ({"epoch": 2}, ())
    write_last(folder, 3, 4)
    assert entries(tmp_path) == {"last", ".last.previous"}
