"""Whatever a file holds: it loads, or one clean error of one line says why not."""

import json
import tempfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.cli.evaluating import Wish
from bmtune.cli.evaluating import evaluate_checkpoint
from bmtune.config.best import read_best
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.errors import BmtuneError
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.records import to_line
from bmtune.reports.summary import summarize

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
EXAMPLES = 150
quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)

SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 8, max_epochs: 9, eta: 3, grace: 1}
run: {seed: 1, pack: auto, time_budget_s: 10}
base: {name: plain, data: {dataset: moons_small}, born: {bond_dim: 4}}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
  trainer.classification.optimizer.name: {type: categorical, choices: [adam, sgd]}
  born.bond_dim: {type: int, low: 2, high: 12, when: {trainer.classification.optimizer.name: adam}}
"""
BEST = {
    "format": "bmtune.best",
    "version": 1,
    "run": "night",
    "trainer": "gan",
    "dataset": "iris",
    "objective": [{"metric": "fid", "mode": "min"}],
    "best": {"trial": 1, "value": 0.1, "epoch": 2, "metrics": {"fid": 0.1}, "config": {}, "checkpoint": "best"},
    "trials": {"total": 2, "completed": 2, "pruned": 0, "failed": 0},
}
RECORDS = [
    RunStarted(
        run="a",
        trainer="classification",
        dataset="moons_small",
        data_hash="0",
        objective=Objective(metric="loss", mode="min"),
        trials=8,
        max_epochs=9,
        seed=1,
        bmtune="0.1.0",
        time=1.5,
    ),
    TrialStarted(trial=0, params={"born.bond_dim": 4}, seed=7, time=2.0),
    Epoch(
        trial=0,
        phase="pre",
        epoch=1,
        budget=1,
        metrics={"loss": 0.5},
        seconds=0.1,
        eligible=True,
        best_epoch=1,
        best_metrics={"loss": 0.5},
    ),
    CheckpointWritten(trial=0, which="best", budget=1, path="checkpoints/trial-00000/best"),
    TrialFinished(trial=0, status="completed", reason="done", value=0.5, time=3.0),
]
WISH = Wish((), None, 2, 0.05, strong=False)
LINES = [to_line(record) for record in RECORDS]

numbers = st.one_of(
    st.integers(),
    st.integers(-3, 40),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e308, 5e-324, 2**63, 2**64, True, float("nan"), float("inf")]),
)
texts = st.one_of(
    st.text(max_size=12), st.sampled_from(["", "auto", "\x1b]0;x\x07", "\u202e", "a\nb", "../..", "\0", "/x"])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts, st.sampled_from(["iris", "loss", "adam", "float", "int"]))
keys = st.one_of(st.sampled_from(["name", "type", "low", "high", "choices", "when", "data", "born", "metrics"]), texts)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12,
)


def loads_or_tells(load: Callable[[], Any]) -> None:
    """The property of this file."""
    try:
        load()
    except BmtuneError as error:
        message = str(error)
        assert len(message) > 20
        assert message.isprintable()


def load_text(reader: Callable[[Path], Any], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.yaml")
        path.write_bytes(content)
        loads_or_tells(lambda: reader(path))


def places(tree: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every part of a tree."""
    if isinstance(tree, dict):
        entries = list(tree.items())
    elif isinstance(tree, list):
        entries = list(enumerate(tree))
    else:
        return [before]
    return [before, *(place for key, part in entries for place in places(part, (*before, key)))]


def replaced(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[place[0]] = replaced(tree[place[0]], place[1:], value)
    return copy


def dumped(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


SPACE_TREES = [
    yaml.safe_load(SPACE),
    *(yaml.safe_load(default_space_path(n).read_text()) for n in ("gan", "adversarial")),
]


@quick
@given(st.data(), st.sampled_from(SPACE_TREES), st.one_of(leaves, trees))
def test_a_space_with_one_part_replaced(data: st.DataObject, space: dict[str, Any], value: Any) -> None:
    place = data.draw(st.sampled_from(places(space)[1:]))
    load_text(load_space, dumped(replaced(space, place, value)))


@quick
@given(trees)
def test_any_tree_as_a_space(tree: Any) -> None:
    load_text(load_space, dumped(tree))


@quick
@given(st.data(), st.one_of(leaves, trees))
def test_a_best_file_with_one_part_replaced(data: st.DataObject, value: Any) -> None:
    place = data.draw(st.sampled_from(places(BEST)))
    load_text(read_best, dumped(replaced(BEST, place, value)))


@quick
@given(
    st.sampled_from([load_space, read_best]),
    st.one_of(st.binary(max_size=60), st.text("ab:-[]{}&*!|>'\"%@`,?# \n\t0.<~=\\", max_size=40).map(str.encode)),
)
def test_any_bytes_as_a_file(reader: Callable[[Path], Any], content: bytes) -> None:
    load_text(reader, content)


changes = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4)


def changed(content: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for position, piece, dropped in edits:
        at = position % (len(content) + 1)
        content = content[:at] + piece + content[at + dropped :]
    return content


@quick
@given(changes)
def test_a_space_with_bytes_replaced(edits: list[tuple[int, bytes, int]]) -> None:
    load_text(load_space, changed(SPACE.encode(), edits))


def run_folder(folder: Path, content: bytes) -> None:
    (folder / "search.yaml").write_text(SPACE)
    (folder / "records.jsonl").write_bytes(content)
    loads_or_tells(lambda: read_records(folder / "records.jsonl"))
    loads_or_tells(lambda: summarize(folder, 3))


@quick
@given(changes)
def test_records_with_bytes_replaced(edits: list[tuple[int, bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_folder(Path(folder), changed(b"".join(LINES), edits))


@quick
@given(st.lists(st.sampled_from(LINES), max_size=9))
def test_records_with_lines_left_out_doubled_or_swapped(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_folder(Path(folder), b"".join(lines))


@quick
@given(st.data(), st.one_of(leaves, trees))
def test_records_whose_checksum_is_right_and_whose_content_is_not(data: st.DataObject, value: Any) -> None:
    at = data.draw(st.integers(0, len(RECORDS) - 1))
    tree = RECORDS[at].model_dump(mode="json")
    place = data.draw(st.sampled_from(places(tree)))
    body = json.dumps(replaced(tree, place, value)).encode()
    line = b'{"crc":"%08x","record":%s}\n' % (zlib.crc32(body), body)
    with tempfile.TemporaryDirectory() as folder:
        run_folder(Path(folder), b"".join([*LINES[:at], line, *LINES[at + 1 :]]))


@quick
@given(st.binary(max_size=80))
def test_any_bytes_as_records(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_folder(Path(folder), content)


TENSORS, FACTS = {"a": torch.zeros(2, dtype=torch.complex64)}, {"config": {}, "epoch": 1}


@quick
@given(st.data(), st.one_of(leaves, trees), st.sampled_from(["[" * 100_000, "{", "\xff", '"', "null", "1", "[]"]))
def test_a_checkpoint_with_one_part_replaced(data: st.DataObject, value: Any, text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "best")
        write_checkpoint(folder, TENSORS, FACTS)
        document = folder / "checkpoint.json"
        tree = json.loads(document.read_text())
        place = data.draw(st.sampled_from(places(tree)))
        document.write_text(json.dumps(replaced(tree, place, value)))
        loads_or_tells(lambda: read_checkpoint(folder))
        loads_or_tells(lambda: evaluate_checkpoint(Path(name), WISH, output=None, as_json=True))
        document.write_text(text, encoding="latin-1")
        loads_or_tells(lambda: read_checkpoint(folder))


@quick
@given(st.data(), st.one_of(leaves, trees))
def test_facts_of_a_checkpoint_that_are_no_facts(data: st.DataObject, value: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = data.draw(st.sampled_from(places(FACTS)))
        write_checkpoint(Path(name, "best"), TENSORS, replaced(FACTS, place, value))
        loads_or_tells(lambda: evaluate_checkpoint(Path(name), WISH, output=None, as_json=True))


@quick
@given(changes)
def test_tensors_with_bytes_replaced(edits: list[tuple[int, bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_checkpoint(Path(name, "best"), TENSORS, FACTS)
        path = Path(name, "best", "tensors.safetensors")
        content = changed(path.read_bytes(), edits)
        path.write_bytes(content)
        # With a checksum that is right too.
        document = json.loads(Path(name, "best", "checkpoint.json").read_text())
        loads_or_tells(lambda: read_checkpoint(Path(name, "best")))
        document["tensors_sha256"] = sha256(content).hexdigest()
        Path(name, "best", "checkpoint.json").write_text(json.dumps(document))
        loads_or_tells(lambda: read_checkpoint(Path(name, "best")))


def test_records_that_are_deep_are_told(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"[" * 100_000 + b"\n")
    loads_or_tells(lambda: read_records(tmp_path / "records.jsonl"))
    with pytest.raises(BmtuneError):
        read_records(tmp_path / "records.jsonl")


def test_the_good_files_are_good(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(SPACE)
    (tmp_path / "best.yaml").write_bytes(dumped(BEST))
    (tmp_path / "records.jsonl").write_bytes(b"".join(LINES))
    assert load_space(tmp_path / "search.yaml").trainer == "classification"
    assert read_best(tmp_path / "best.yaml").run == "night"
    (tmp_path / "best.yaml").unlink()
    assert summarize(tmp_path).best.best.value == 0.5
