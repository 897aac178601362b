"""A host that is killed in the middle of a search, on a real Ray."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import TrialFinished
from bmtune.records import read_records
from bmtune.search.resolve import ResolvedSearch

pytestmark = pytest.mark.slow
MakeSpace = Callable[..., SearchSpace]


class Killing:
    """A listener that kills one of the first two processes as soon as some epochs have come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs = 0
        self.killed: int | None = None

    def on_record(self, record: Any) -> None:
        self.epochs += isinstance(record, Epoch)
        pids = sorted(int(path.name) for path in self.folder.iterdir())
        if self.killed is None and self.epochs >= 20 and len(pids) == 2:
            self.killed = pids[0]
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.timeout(300)
def test_all_trials_end_and_nothing_is_doubled_when_a_host_is_killed(
    backend: Any, make_space: MakeSpace, tmp_path: Path
) -> None:
    from bmtune.search.driver import run_search

    (tmp_path / "pids").mkdir()
    space = make_space(
        ("name: plain", f"name: paced {tmp_path / 'pids'}"),
        ("trials: 8, max_epochs: 9", "trials: 8, max_epochs: 120"),
        ("budget:", "run: {scheduler: none, report_every_s: 0}\nbudget:"),
    )
    listener = Killing(tmp_path / "pids")
    outcome = run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listener, backend=backend)
    assert listener.killed is not None
    records = read_records(outcome.run_folder / "records.jsonl").records
    assert [record.status for record in records if isinstance(record, TrialFinished)] == ["completed"] * 8
    epochs = Counter((record.trial, record.phase, record.epoch) for record in records if isinstance(record, Epoch))
    assert epochs == Counter((trial, "pre", epoch) for trial in range(8) for epoch in range(1, 121))
    # The other host trained on, and at most one took the place of the one that was killed.
    assert len(list((tmp_path / "pids").iterdir())) in (2, 3)


def test_a_mistake_in_a_host_ends_the_search_at_once(
    ray_cluster: Any, fake_training: type[Any], make_space: MakeSpace, listened: Any, tmp_path: Path
) -> None:
    from bmtune.search.driver import Backend
    from bmtune.search.driver import run_search
    from bmtune.search.packs import OneByOne
    from bmtune.search.trainable import BornTrial

    class Mistaken(OneByOne):
        def key(self, training: Any) -> Any:
            raise LookupError("there is no key")

    class MistakenTrial(BornTrial):
        make_training = fake_training
        packing = Mistaken()

    space = make_space()
    space = replace(space, run=space.run.model_copy(update={"max_concurrent": 1}))
    backend = Backend(MistakenTrial, lambda config, cores: {})
    with pytest.raises(LookupError, match="there is no key"):
        run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listened, backend=backend)
    assert not listened.epochs()


def test_where_the_seam_does_not_hold_every_trial_has_a_process_and_the_user_is_told_once(
    backend: Any, make_space: MakeSpace, listened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bmtune.search import driver

    monkeypatch.setattr(driver, "seam_holds", lambda: "Ray is version 9")
    space = make_space(("trials: 8", "trials: 2"))
    space = replace(space, run=space.run.model_copy(update={"max_concurrent": 1}))
    outcome = driver.run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listened, backend=backend)
    assert outcome.counts.total == 2
    notices = [record.text for record in listened.records if isinstance(record, Notice)]
    assert notices == ["each trial has a process of its own, as with --pack 1, because Ray is version 9"]
