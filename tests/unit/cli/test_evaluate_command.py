import json
from pathlib import Path

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.cli.app import main
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import outcome
from bmtune.training import start

VALUES = {
    "recipe": "classification",
    "seed": 5,
    "data.dataset": "iris",
    "born.physical_dim": 4,
    "born.bond_dim": 3,
    "trainer.classification.max_epoch": 2,
    "trainer.classification.batch_size": 16,
    "trainer.classification.metrics": {"acc": 1, "loss": 1, "fid": 1},
    "evaluation.num_samples": 30,
    "evaluation.num_bins": 20,
    "evaluation.strengths": [0.05, 0.2],
    "evaluation.attack.steps": 3,
}


@pytest.fixture(scope="module")
def trained():
    config = with_values(TrialConfig(), VALUES)
    problem = make_problem(config, DataHandler(config.data, (-1.0, 1.0)))
    state = start(problem)
    while not state.status.ended:
        state, _ = advance(problem, state)
    return config, outcome(problem, state)


@pytest.fixture
def checkpoint(trained, tmp_path: Path) -> Path:
    config, found = trained
    metrics = found.valid | {f"test/{name}": value for name, value in found.test.items()}
    facts = {"config": config.model_dump(mode="json"), "epoch": found.epoch, "metrics": metrics}
    write_checkpoint(tmp_path / "run" / "best", found.cores._asdict(), facts)
    return tmp_path / "run" / "best"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out


def test_a_reloaded_checkpoint_reproduces_the_reported_test_metrics(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = json.loads(printed(capsys, str(checkpoint), "--json", "--output", str(tmp_path / "kept.json")))
    assert (found["format"], found["version"], found["checkpoint"]) == ("bmtune.evaluation", 1, str(checkpoint))
    reported = read_checkpoint(checkpoint)[1]["metrics"]
    for name in ("acc", "loss", "fid"):
        assert found["results"]["metrics"][name] == reported[f"test/{name}"]
    assert found["results"].keys() == {"metrics", "detection", "purification", "membership"}
    assert json.loads((tmp_path / "kept.json").read_text()) == found


def test_the_table_has_a_line_for_everything(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, str(checkpoint), "--strong", "--rows", "10")
    for words in (
        "eps 0.05",
        "eps 0.2",
        "genloss",
        "outliers",
        "accuracy, strongest attacks",
        "detection AUROC",
        "accuracy after ascent",
        "accuracy after gibbs in ball",
        "members by log p(x): AUROC",
    ):
        assert words in out
    assert "nan" not in out


def test_a_run_folder_means_its_best_epoch(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    found = json.loads(printed(capsys, str(checkpoint.parent), "--json", "--rows", "5"))
    assert found["checkpoint"] == str(checkpoint)


def test_evaluation_values_can_be_set_and_the_seed_matters(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    arguments = (str(checkpoint), "--json", "--rows", "5", "--set", "evaluation.strengths=[0.1]")
    one, again, other = (json.loads(printed(capsys, *arguments, *more)) for more in ([], [], ["--seed", "9"]))
    assert one == again
    assert [entry["strength"] for entry in one["results"]["detection"]] == [0.1]
    assert one["results"]["metrics"]["fid"] != other["results"]["metrics"]["fid"]
    assert one["results"]["metrics"]["loss"] == other["results"]["metrics"]["loss"]


def damaged(folder: Path) -> None:
    (folder / "tensors.safetensors").write_bytes(b"nonsense")


def of_a_last_epoch(folder: Path) -> None:
    tensors, _ = read_checkpoint(folder)
    write_checkpoint(folder, tensors, {"trial": 1, "budget": 3, "end": None, "training": {}})


def of_other_shapes(folder: Path) -> None:
    tensors, facts = read_checkpoint(folder)
    write_checkpoint(folder, {**tensors, "edge": tensors["edge"][:1]}, facts)


def of_an_unknown_configuration(folder: Path) -> None:
    tensors, facts = read_checkpoint(folder)
    write_checkpoint(folder, tensors, {**facts, "config": {**facts["config"], "flavour": "strange"}})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damaged, "must match their checksums"),
        (of_a_last_epoch, "needs the checkpoint of a best epoch, with its configuration, but"),
        (of_other_shapes, "'edge' is (1, 3, 4) instead of (2, 3, 4)"),
        (of_an_unknown_configuration, "config.flavour"),
    ],
)
def test_an_unfit_checkpoint_is_one_sentence(checkpoint: Path, capsys: pytest.CaptureFixture[str], spoil, message: str):
    spoil(checkpoint)
    assert main(["evaluate", str(checkpoint)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert str(checkpoint) in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "born.bond_dim=3"], "can change only values below evaluation."),
        (["--set", "evaluation.strengths=[2]"], "evaluation.strengths"),
        (["--set", "evaluation.strength=[1]"], "did you mean 'evaluation.strengths'?"),
        (["--output", "none/such.json"], "--output must be a file in a folder that exists"),
        (["--rows", "1"], "--rows"),
    ],
)
def test_bad_values_are_one_sentence(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["evaluate", str(checkpoint), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_missing_checkpoint_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: a checkpoint is a folder with checkpoint.json")


def test_a_file_that_cannot_be_written_is_one_sentence(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["evaluate", str(checkpoint), "--rows", "5", "--output", str(tmp_path)]) == 2
    assert "must be a file that can be written" in capsys.readouterr().err
