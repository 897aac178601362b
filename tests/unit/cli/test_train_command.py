from pathlib import Path

import pytest
import torch

from bmtune.checkpoints import read_checkpoint
from bmtune.cli.app import main
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import TrialCounts
from bmtune.config.best import read_best
from bmtune.config.best import write_best
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig

VALUES = {
    "recipe": "classification",
    "seed": 5,
    "data.dataset": "iris",
    "born.physical_dim": 4,
    "born.bond_dim": 3,
    "trainer.classification.max_epoch": 3,
    "trainer.classification.batch_size": 16,
}


@pytest.fixture
def best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    config = with_values(TrialConfig(), VALUES)
    path = tmp_path / "best.yaml"
    write_best(
        path,
        BestFile(
            run="night",
            trainer="classification",
            dataset="iris",
            objective=(),
            best=BestEntry(trial=0, value=0.1, epoch=1, metrics={}, config=config, checkpoint="best"),
            trials=TrialCounts(total=1, completed=1, pruned=0, failed=0),
        ),
    )
    return path


@pytest.mark.parametrize("run", ["../../elsewhere", "/tmp/elsewhere", "a/b", ".."])
def test_a_run_whose_name_leads_elsewhere_is_refused(best: Path, capsys: pytest.CaptureFixture[str], run: str):
    text = best.read_text()
    assert "run: night" in text
    best.write_text(text.replace("run: night", f"run: {run}"))
    assert main(["train", str(best), "--storage", "a/b"]) == 2
    assert run in capsys.readouterr().err
    assert [path.name for path in best.parent.iterdir()] == ["best.yaml"]


def test_the_whole_budget_is_trained_and_the_best_epoch_kept(best: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", str(best)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["pre 1", "pre 2", "pre 3"]
    assert lines[3] == "ended: all epochs were trained"
    folder = Path("outputs/night/models/classification-seed-5")
    assert lines[-1] == f"checkpoint: {folder}"
    tensors, facts = read_checkpoint(folder)
    assert facts["config"] == with_values(TrialConfig(), {**VALUES, "name": "night"}).model_dump(mode="json")
    assert 1 <= facts["epoch"] <= 3
    assert {"acc", "loss", "test/acc", "test/loss"} <= facts["metrics"].keys()
    assert facts["timings"]["pre/avg_epoch_time_s"] > 0
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert any("test" in line and "validation" in line for line in lines)


def test_the_same_seed_trains_the_same_cores_and_another_does_not(best: Path):
    for arguments in (["--storage", "a"], ["--storage", "b"], ["--storage", "a", "--seed", "6"]):
        assert main(["train", str(best), *arguments]) == 0
    first, again, other = (
        read_checkpoint(Path(path))[0]
        for path in (
            "a/night/models/classification-seed-5",
            "b/night/models/classification-seed-5",
            "a/night/models/classification-seed-6",
        )
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["bulk"], other["bulk"])


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        ([], (5, 4)),
        (["--seed", "6"], (6, None)),
        (["--seed", "6", "--set", "pre_seed=2"], (6, 2)),
        (["--set", "pre_seed=2"], (5, 2)),
    ],
)
def test_another_seed_is_one_for_pretraining_too(best: Path, arguments: list[str], seeds: tuple[int, int | None]):
    found = read_best(best)
    config = with_values(found.best.config, {"pre_seed": 4, "trainer.classification.max_epoch": 1})
    write_best(best, found.model_copy(update={"best": found.best.model_copy(update={"config": config})}))
    assert main(["train", str(best), *arguments]) == 0
    _, facts = read_checkpoint(Path(f"outputs/night/models/classification-seed-{seeds[0]}"))
    assert (facts["config"]["seed"], facts["config"]["pre_seed"]) == seeds


def test_values_can_be_set(best: Path):
    assert main(["train", str(best), "--set", "name=day", "--set", "trainer.classification.max_epoch=1"]) == 0
    _, facts = read_checkpoint(Path("outputs/day/models/classification-seed-5"))
    assert facts["epoch"] == 1


def test_a_folder_in_use_is_refused_before_training(best: Path, capsys: pytest.CaptureFixture[str]):
    folder = Path("outputs/night/models/classification-seed-5")
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("precious")
    assert main(["train", str(best)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: a training must have a folder of its own, but {folder} is in use")
    assert captured.out == ""
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "born.bond_dims=3"], "did you mean 'born.bond_dim'?"),
        (["--set", "born.bond_dim=0"], "bond_dim"),
        (["--set", "trainer.classification.batch_size=999"], "999"),
    ],
)
def test_bad_values_are_one_sentence_and_nothing_is_written(
    best: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["train", str(best), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not Path("outputs").exists()


def test_a_training_that_diverges_writes_nothing_and_fails(best: Path, capsys: pytest.CaptureFixture[str]):
    path = "trainer.classification.optimizer"
    assert main(["train", str(best), "--set", f"{path}.name=sgd", "--set", f"{path}.lr=1e+30"]) == 1
    captured = capsys.readouterr()
    assert "no longer finite" in captured.out
    assert "nothing was written" in captured.err
    assert not Path("outputs").exists()


def test_a_missing_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith("error: a file must be readable")
