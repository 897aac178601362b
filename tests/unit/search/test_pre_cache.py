import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bmtune.born import Cores
from bmtune.checkpoints import write_checkpoint
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.records import PretrainingShared
from bmtune.search import pre_cache
from bmtune.search.pre_cache import PreCache
from bmtune.search.pre_cache import PreEntry
from bmtune.search.pre_cache import PreShare
from bmtune.search.pre_cache import key_of
from bmtune.search.solo import SoloTraining
from bmtune.search.trial_alone import TrialRun
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.training import Pretrained

FACTS = {"method": 1, "born": {"bond_dim": 2, "init_std": 0.1}, "seed": 7}
OTHER = {**FACTS, "seed": 8}
VALUES = {
    "recipe": "gan",
    "pre_seed": 5,
    "data.dataset": "moons_small",
    "born.physical_dim": 4,
    "born.bond_dim": 2,
    "trainer.classification.max_epoch": 3,
    "trainer.ganstyle.max_epoch": 2,
    "trainer.ganstyle.sampling.num_per_class": 50,
    "trainer.ganstyle.sampling.num_bins": 20,
    "trainer.ganstyle.critic.pretrain_epochs": 0,
    "evaluation.num_samples": 50,
    "evaluation.num_bins": 20,
}


def entry(number: float = 1.0, trial: int = 3) -> PreEntry:
    cores = Cores(*(torch.full((2, part + 1), number, dtype=torch.complex64) for part in range(4)))
    return PreEntry(Pretrained(cores, 12), "night", trial)


def value_of(found: Any) -> float:
    assert isinstance(found, PreEntry)
    return found.result.cores.bulk.real.max().item()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pretraining"


@pytest.fixture
def cache(folder: Path) -> PreCache:
    return PreCache(folder)


def test_one_trains_the_others_wait_and_then_all_take(cache: PreCache) -> None:
    assert [cache.claim(FACTS) for _ in range(3)] == ["train", "wait", "wait"]
    cache.keep(FACTS, entry())
    assert cache.claim(FACTS) == "wait"
    cache.release(FACTS)
    found = [cache.claim(FACTS) for _ in range(2)]
    assert [value_of(each) for each in found] == [1.0, 1.0]
    assert (found[0].result.epochs, found[0].run, found[0].trial) == (12, "night", 3)
    assert found[0].result.cores.edge.dtype == torch.complex64
    assert cache.take_notices() == []


def test_other_facts_are_another_matter(cache: PreCache) -> None:
    assert [cache.claim(FACTS), cache.claim(OTHER)] == ["train", "train"]
    assert key_of(FACTS) != key_of(OTHER)
    assert key_of(FACTS) == key_of(dict(reversed(FACTS.items())))


def test_who_leaves_without_a_result_lets_the_next_one_train(cache: PreCache) -> None:
    assert [cache.claim(FACTS), cache.claim(FACTS)] == ["train", "wait"]
    cache.release(FACTS)
    assert [cache.claim(FACTS), cache.claim(FACTS)] == ["train", "wait"]


def test_another_process_trains_too_and_the_first_to_finish_is_kept(cache: PreCache, folder: Path) -> None:
    beside = PreCache(folder)
    assert [cache.claim(FACTS), beside.claim(FACTS)] == ["train", "train"]
    cache.keep(FACTS, entry(1.0))
    beside.keep(FACTS, entry(2.0))
    assert value_of(PreCache(folder).claim(FACTS)) == 1.0
    assert [path.name for path in folder.iterdir()] == [key_of(FACTS)]


def test_two_that_write_at_once_leave_one_sound_entry(
    cache: PreCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, written = PreCache(folder), list[Path]()

    def slow(path: Path, *content: Any) -> None:
        write_checkpoint(path, *content)
        written.append(path)
        if len(written) == 1:
            beside.keep(FACTS, entry(2.0))

    monkeypatch.setattr(pre_cache, "write_checkpoint", slow)
    cache.keep(FACTS, entry(1.0))
    assert len(written) == 2
    assert value_of(PreCache(folder).claim(FACTS)) == 1.0
    assert [path.name for path in folder.iterdir()] == [key_of(FACTS)]
    assert cache.take_notices() == beside.take_notices() == []


def cut(path: Path) -> None:
    file = path / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def forge(path: Path) -> None:
    file = path / "checkpoint.json"
    file.write_text(file.read_text().replace('"seed": 7', '"seed": 8'))


def empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


def plain_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder")


def rewritten(**facts: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = json.loads((path / "checkpoint.json").read_text())["facts"]
        write_checkpoint(path, {"edge": torch.zeros(1)}, content | facts)

    return write


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "checksums"),
        (forge, "checksums"),
        (empty, "a checkpoint is a folder with"),
        (plain_file, "a checkpoint is a folder with"),
        (rewritten(determined_by=OTHER), "determined by what its name is a hash of"),
        (rewritten(version=9), "must have the format bmtune.pretraining version 1, but this has .* version 9"),
        (rewritten(format="other"), "this has other version 1"),
        (rewritten(), "lacks bulk, centre, odd"),
    ],
)
def test_what_is_damaged_is_trained_again_and_replaced(
    cache: PreCache, folder: Path, damage: Callable[[Path], None], reason: str
) -> None:
    cache.keep(FACTS, entry(1.0))
    damage(folder / key_of(FACTS))
    assert cache.claim(FACTS) == "train"
    (notice,) = cache.take_notices()
    assert notice.startswith("pre-training is done again, because")
    assert "\n" not in notice
    assert re.search(reason, notice)
    cache.keep(FACTS, entry(2.0))
    assert value_of(PreCache(folder).claim(FACTS)) == 2.0
    assert [path.name for path in folder.iterdir()] == [key_of(FACTS)]


def test_a_folder_that_cannot_be_written_is_told_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = PreCache(tmp_path / "file" / "pretraining")
    assert cache.claim(FACTS) == "train"
    cache.keep(FACTS, entry())
    (notice,) = cache.take_notices()
    assert notice.startswith("pre-training could not be kept in ")
    assert cache.take_notices() == []


def training(**values: Any) -> SoloTraining:
    return SoloTraining(with_values(TrialConfig(), {**VALUES, **values}), "cpu", None)


def share(cache: PreCache, trial: int, **values: Any) -> tuple[PreShare, SoloTraining]:
    trained = training(**values)
    return PreShare(cache, "night", trial, trained), trained


def test_lanes_of_one_process_share_one_pretraining(cache: PreCache) -> None:
    (giver, trained), (taker, _) = share(cache, 0, seed=1), share(cache, 1, seed=2)
    other, _ = share(cache, 2, **{"born.bond_dim": 3})
    assert [giver.begin(), taker.begin(), other.begin()] == ["train", "wait", "train"]
    for _ in range(3):
        assert taker.begin() == "wait"
        trained.advance()
        giver.after_epoch()
    shared = taker.begin()
    assert isinstance(shared, PretrainingShared)
    assert (shared.trial, shared.from_run, shared.from_trial, shared.epochs) == (1, "night", 0, 3)
    assert set(shared.metrics) == {"start/acc", "start/loss", "start/fid"}
    assert other.begin() == "wait"


def test_a_lane_that_waits_and_leaves_takes_no_claim_away(cache: PreCache) -> None:
    (giver, trained), (taker, _), (third, _) = (share(cache, number) for number in range(3))
    assert [giver.begin(), taker.begin()] == ["train", "wait"]
    taker.leave()
    assert third.begin() == "wait"
    trained.advance()
    giver.leave()
    assert third.begin() == "train"


def test_pretraining_that_diverges_leaves_nothing_and_lets_the_next_one_try(cache: PreCache, folder: Path) -> None:
    wild = {"trainer.classification.optimizer.lr": 1e30, "trainer.classification.optimizer.name": "sgd"}
    (giver, trained), (taker, _) = share(cache, 0, **wild), share(cache, 1, **wild)
    assert [giver.begin(), taker.begin()] == ["train", "wait"]
    assert trained.advance().status.ended
    giver.after_epoch()
    assert taker.begin() == "train"
    assert not folder.exists()


def test_a_start_that_is_not_finite_is_not_taken(cache: PreCache) -> None:
    likelihood = {"recipe": "generative", "trainer.generative.pretrain": True}
    (giver, trained), (taker, beside) = share(cache, 0, **likelihood), share(cache, 1, **likelihood)
    assert giver.begin() == "train"
    for _ in range(3):
        trained.advance()
    result = trained.pre_result()
    assert result is not None
    broken = result._replace(cores=result.cores._replace(edge=result.cores.edge * float("nan")))
    facts = taker._facts
    assert facts is not None
    cache.keep(facts, PreEntry(broken, "night", 0))
    giver.leave()
    assert taker.begin() == "train"
    assert beside.advance().epoch == 1


def test_a_trial_without_pretraining_has_no_part_in_it(cache: PreCache, folder: Path) -> None:
    plain, trained = share(cache, 0, recipe="classification")
    assert plain.begin() == "train"
    trained.advance()
    plain.after_epoch()
    assert not folder.exists()


@pytest.fixture
def run_of(tmp_path: Path, folder: Path) -> Callable[..., TrialRun]:
    def make(trial: int, **values: Any) -> TrialRun:
        config = with_values(TrialConfig(), {**VALUES, "seed": trial, **values})
        task = Task(
            trial=trial,
            config=config,
            run_folder=str(tmp_path / "night"),
            rungs=(1,),
            report_every_s=0.0,
            pre_cache=str(folder),
        )
        return TrialRun(task, SoloTraining)

    return make


def all_of(run: TrialRun) -> list[TrialReport]:
    reports = [run.next_report()]
    while reports[-1].end is None:
        reports.append(run.next_report())
    return reports


def phases(reports: list[TrialReport]) -> list[str]:
    return [epoch.phase for report in reports for epoch in report.epochs]


def test_a_trial_takes_what_another_left_and_says_so_in_its_first_report(run_of: Callable[..., TrialRun]) -> None:
    first, second = all_of(run_of(0)), all_of(run_of(1))
    assert phases(first)[:3] == ["pre"] * 3
    assert all(report.shared is None for report in first)
    assert "pre" not in phases(second)
    assert [report.shared is not None for report in second] == [True] + [False] * (len(second) - 1)
    shared = second[0].shared
    assert shared is not None
    assert (shared.trial, shared.from_run, shared.from_trial) == (1, "night", 0)
    assert TrialReport.model_validate_json(second[0].model_dump_json()) == second[0]


def test_a_trial_that_takes_a_result_has_the_picture_of_it(run_of: Callable[..., TrialRun], tmp_path: Path) -> None:
    # The last epoch of `pre` is the best one here, so whoever trains it draws what it leaves.
    drawn = {"trainer.classification.metrics": {"acc": 1, "loss": 1, "viz": 3}}
    all_of(run_of(0, **drawn))
    run = run_of(1, **drawn)
    first = run.next_report()
    assert first.shared is not None
    folders = [tmp_path / f"night/checkpoints/trial-{trial:05d}/pictures" for trial in range(2)]
    assert sorted(path.name for path in folders[0].iterdir()) == ["viz-pre-00001.png", "viz-pre-00003.png"]
    assert [path.name for path in folders[1].iterdir()] == [f"viz-pre-{first.shared.epochs:05d}.png"]
    given, taken = ((folder / "viz-pre-00003.png").read_bytes() for folder in folders)
    assert given == taken
    all_of(run_of(2))
    assert not folders[1].with_name("trial-00002").joinpath("pictures").exists()


def test_a_trial_that_goes_on_from_its_checkpoint_takes_nothing(run_of: Callable[..., TrialRun]) -> None:
    all_of(run_of(0))
    broken_off = run_of(1)
    first = broken_off.next_report()
    assert first.shared is not None
    assert first.epochs[0].budget == 1
    told_again, *again = all_of(run_of(1))
    # Nobody has confirmed the first report: it is told again, as it was.
    assert (told_again.shared, told_again.epochs) == (first.shared, first.epochs)
    assert all(report.shared is None for report in again)
    assert phases(again)[0] in ("gan", "re")


def test_a_damaged_entry_is_told_of_in_the_report(run_of: Callable[..., TrialRun], folder: Path) -> None:
    all_of(run_of(0))
    (kept,) = folder.iterdir()
    cut(kept)
    reports = all_of(run_of(1))
    assert phases(reports)[:3] == ["pre"] * 3
    (notice,) = [text for report in reports for text in report.notices]
    assert "done again" in notice
    assert "pre" not in phases(all_of(run_of(2)))


def test_a_trial_that_is_not_told_of_a_cache_uses_none(run_of: Callable[..., TrialRun], folder: Path) -> None:
    run = TrialRun(run_of(0).task.model_copy(update={"pre_cache": None}), SoloTraining)
    all_of(run)
    assert not folder.exists()
