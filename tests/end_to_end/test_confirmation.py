"""Runs that are confirmed on a real Ray: with a training that takes no time, and once with the real one."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.best import read_best
from bmtune.config.space import SearchSpace
from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.confirmation.records import TestMeasured
from bmtune.confirmation.records import TrainingEnded
from bmtune.confirmation.records import read_confirmation
from bmtune.errors import RunFolderError
from bmtune.errors import SearchStoppedError
from bmtune.records import read_records
from bmtune.search.confirm_choice import Wish
from bmtune.search.confirm_command import confirm_after
from bmtune.search.outcome import SearchOutcome
from bmtune.search.resolve import ResolvedSearch

pytestmark = pytest.mark.slow
NO_HALVING = ("budget:", "run: {scheduler: none, report_every_s: 0}\nbudget:")


class Followed:
    def __init__(self) -> None:
        self.heard: list[ConfirmationProgress] = []

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        self.heard.append(progress)


@pytest.fixture
def outcome(make_space: Callable[..., SearchSpace], backend: Any, listened: Any, tmp_path: Path) -> SearchOutcome:
    """A run of four trials whose values are known: |log10(lr) + 2| + 1 / epoch."""
    from bmtune.search.driver import run_search

    space = make_space(NO_HALVING, ("trials: 8, max_epochs: 9", "trials: 4, max_epochs: 3"))
    return run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listened, backend=backend)


@pytest.fixture
def searched(outcome: SearchOutcome) -> Path:
    return outcome.run_folder


def confirmed(folder: Path, backend: Any, wish: Wish) -> tuple[Any, Followed]:
    from bmtune.search.confirm import confirm
    from bmtune.search.confirm_run import read_run

    followed = Followed()
    return confirm(read_run(folder), wish, followed, backend), followed


def trainings(folder: Path) -> list[tuple[int, int]]:
    records = read_confirmation(folder / "confirmation.jsonl").records
    return [(record.trial, record.seed) for record in records if isinstance(record, TrainingEnded)]


def test_a_run_is_confirmed_and_goes_on_where_it_was(searched: Path, backend: Any) -> None:
    before = read_best(searched / "best.yaml")
    found, followed = confirmed(searched, backend, Wish(1, 2))
    entry = found.best.confirmation
    assert read_best(searched / "best.yaml") == found.best
    assert entry.trial == entry.search_best == before.best.trial
    assert entry.trials[0].values == pytest.approx((before.best.value,) * 2)
    assert entry.test["acc"].value == 1.0
    once = trainings(searched)
    assert len(set(once)) == len(once) == 2 * len(entry.trials)
    assert [heard.done for heard in followed.heard if heard.latest is not None] == list(range(1, len(once) + 1))
    assert followed.heard[-1].epochs == 3 * len(once) == followed.heard[-1].budget

    tensors, facts = read_checkpoint(searched / "best")
    config = found.best.best.config
    assert config.seed in entry.seeds
    assert config.data.split_seed == config.seed
    assert facts["config"] == config.model_dump(mode="json")
    assert facts["kept"] == entry.kept
    assert float(tensors["cores"][0]) == 3

    # A writer that was killed in the middle of a line: what is whole is not trained again, what was torn is.
    path = searched / "confirmation.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    tested = [line for line in lines if b"test_measured" in line]
    ended = [line for line in lines if b"training_ended" in line]
    path.write_bytes(b"".join([lines[0], *ended[:-1]]) + ended[-1][:-20])
    again, followed = confirmed(searched, backend, Wish(1, 2))
    assert again.best.confirmation == entry
    assert len([heard for heard in followed.heard if heard.latest is not None]) == 1
    assert len(tested) == 2

    # More of both: only what is new is trained, and test rows are looked at once.
    more, _ = confirmed(searched, backend, Wish(9, 3))
    assert more.best.confirmation.seeds[:2] == entry.seeds
    assert len(more.best.confirmation.trials) == 4
    assert more.notice == "9 configurations were asked for and 4 could be measured: those are confirmed"
    assert len(set(trainings(searched))) == len(trainings(searched)) == 12
    records = read_confirmation(path).records
    looks = [(record.trial, record.seed) for record in records if isinstance(record, TestMeasured)]
    assert len(looks) == len(set(looks)) == 3


@pytest.mark.parametrize(
    ("name", "reason"), [("raises", "no luck with seed"), ("kills", "its process was lost 2 times")]
)
def test_a_configuration_that_fails_everywhere_is_told_of(searched: Path, backend: Any, name: str, reason: str) -> None:
    text = (searched / "search.yaml").read_text()
    assert "max_failures: 3" in text
    text = text.replace("name: plain", f"name: {name}").replace("max_failures: 3", "max_failures: 1")
    (searched / "search.yaml").write_text(text)
    before = (searched / "best.yaml").read_text()
    with pytest.raises(SearchStoppedError, match=f"each of 1 failed with one .*{reason}"):
        confirmed(searched, backend, Wish(1, 2))
    assert (searched / "best.yaml").read_text() == before
    ends = [e for e in read_confirmation(searched / "confirmation.jsonl").records if isinstance(e, TrainingEnded)]
    assert {end.status for end in ends} == {"failed"}
    assert all(end.error for end in ends)


def test_two_confirmations_of_a_run_keep_apart(searched: Path, backend: Any) -> None:
    from bmtune.search.confirm_run import in_use

    with in_use(searched), pytest.raises(RunFolderError, match="confirmed by one process at a time"):
        confirmed(searched, backend, Wish(1, 2))


class Impatient:
    """Presses Ctrl-C when the first training has ended."""

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        if progress.latest is not None:
            raise KeyboardInterrupt


def test_what_happens_after_a_search_is_as_it_wished(
    outcome: SearchOutcome, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = read_records(outcome.run_folder / "records.jsonl").records[0].time
    followed = Followed()
    assert confirm_after(outcome, "none", followed, backend) == outcome
    assert confirm_after(replace(outcome, interrupted=True), "1:2", followed, backend).best == outcome.best
    # A search of a second, however busy the machine is: the processes of a confirmation take longer to start.
    asked: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: asked.append(began + 1) or began + 1)
        short = confirm_after(outcome, "auto", followed, backend)
    assert asked
    assert short.best == outcome.best
    assert short.notice == (
        f"nothing was confirmed, since it would take too long beside this search; bmtune confirm {outcome.run_folder} "
        "does it"
    )
    assert followed.heard == []
    broken = confirm_after(outcome, "1:2", Impatient(), backend)
    assert broken.interrupted
    assert broken.best == outcome.best
    assert "the confirmation was interrupted; bmtune confirm" in broken.notice
    once = trainings(outcome.run_folder)
    assert once
    whole = confirm_after(outcome, "1:2", followed, backend)
    assert whole.best.confirmation is not None
    assert not whole.interrupted
    assert trainings(outcome.run_folder)[: len(once)] == once


def test_a_search_confirms_what_it_found(ray_cluster: Any, listened: Any, tmp_path: Path) -> None:
    from bmtune.search.command import search
    from bmtune.search.request import SearchRequest
    from bmtune.search.solo import on_test_rows

    request = SearchRequest(
        "classification", dataset="iris", trials=3, max_epochs=4, storage=tmp_path, name="iris", confirm="1:2"
    )
    followed = Followed()
    outcome = search(request, listened, followed)
    assert outcome.best is not None
    assert outcome.notice is None
    entry, best = outcome.best.confirmation, outcome.best.best
    assert entry is not None
    assert len(followed.heard[-1].metric) > 0
    assert followed.heard[-1].done == 2 * len(entry.trials)
    # Other seeds, other splits: no two values are alike, and none is that of the search.
    values = [value for trial in entry.trials for value in trial.values]
    assert len(set(values)) == len(values)
    # What was kept does on its own test rows what was recorded, and is one of those that the mean is of.
    tensors, _ = read_checkpoint(outcome.run_folder / "best")
    again = {f"test/{name}": value for name, value in on_test_rows(best.config, tensors).items()}
    assert again == {name: value for name, value in best.metrics.items() if name.startswith("test/")}
    ours = next(trial for trial in entry.trials if trial.trial == entry.trial)
    assert best.value == sorted(ours.values, reverse=True)[0]
