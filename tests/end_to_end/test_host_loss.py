"""A host that is killed in the middle of a search, on a real Ray."""

import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.audit import audit
from bmtune.config.space import SearchSpace
from bmtune.errors import SearchStoppedError
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.records import read_records
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import SearchState

pytestmark = pytest.mark.slow
MakeSpace = Callable[..., SearchSpace]


class Killing:
    """A listener that kills one of the first two processes after some records of a kind."""

    def __init__(self, folder: Path, kind: str, after: int) -> None:
        self.folder = folder
        self.kind = kind
        self.left = after
        self.killed: int | None = None

    def on_record(self, record: Any) -> None:
        self.left -= record.kind == self.kind
        pids = sorted(int(path.name) for path in self.folder.iterdir())
        if self.killed is None and self.left <= 0 and len(pids) == 2:
            self.killed = pids[0]
            os.kill(self.killed, signal.SIGKILL)


def notices(records: tuple[Record, ...]) -> list[str]:
    return [record.text for record in records if isinstance(record, Notice)]


@pytest.fixture
def starving(ray_cluster: Any, fake_training: type[Any], tmp_path: Path) -> Callable[..., Any]:
    """What trains trials whose memory runs out after their fourth epoch: once, or always where `always` says so."""
    from bmtune.search.driver import Backend
    from bmtune.search.packs import OneByOne
    from bmtune.search.trainable import BornTrial

    def make(always: Callable[[int], bool]) -> Any:
        class Starving(fake_training):  # type: ignore[misc]
            def advance(self) -> Any:
                known = tmp_path / f"starved-{self.config.seed}"
                if self.epoch == 4 and (always(self.config.seed) or not known.exists()):
                    known.touch()
                    raise MemoryError("nothing is left")
                return super().advance()

        class StarvingTrial(BornTrial):
            make_training = Starving
            packing = OneByOne()

        return Backend(StarvingTrial, lambda config, cores: {})

    return make


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pack", ["auto", 1], ids=["host", "process"])
def test_all_trials_end_and_nothing_is_doubled_when_a_host_is_killed(
    backend: Any, make_space: MakeSpace, tmp_path: Path, pack: str | int
) -> None:
    from bmtune.search.driver import run_search

    (tmp_path / "pids").mkdir()
    space = make_space(
        ("name: plain", f"name: paced {tmp_path / 'pids'}"),
        ("trials: 8, max_epochs: 9", "trials: 3, max_epochs: 40"),
        ("budget:", f"run: {{scheduler: none, report_every_s: 0, pack: {pack}}}\nbudget:"),
    )
    listener = Killing(tmp_path / "pids", "epoch", 20)
    outcome = run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listener, backend=backend)
    assert listener.killed is not None
    records = read_records(outcome.run_folder / "records.jsonl").records
    assert audit(records) == []
    assert [record.status for record in records if isinstance(record, TrialFinished)] == ["completed"] * 3
    epochs = Counter((record.trial, record.phase, record.epoch) for record in records if isinstance(record, Epoch))
    assert epochs == Counter((trial, "pre", epoch) for trial in range(3) for epoch in range(1, 41))
    told = [text for text in notices(records) if "lost its process" in text]
    assert told
    assert all(re.search(r"goes on from epoch \d+ \(1 of 3\)$", text) for text in told)
    # The other host trained on, and at most one took the place of the one that was killed.
    assert len(list((tmp_path / "pids").iterdir())) in (2, 3)


@pytest.mark.timeout(300)
def test_promotions_hold_when_a_host_is_killed(backend: Any, make_space: MakeSpace, tmp_path: Path) -> None:
    from bmtune.search.driver import run_search

    (tmp_path / "pids").mkdir()
    space = make_space(
        ("name: plain", f"name: paced {tmp_path / 'pids'}"),
        ("trials: 8, max_epochs: 9", "trials: 12, max_epochs: 27"),
        ("budget:", "run: {halving: promote, report_every_s: 0}\nbudget:"),
    )
    listener = Killing(tmp_path / "pids", "trial_promoted", 1)
    outcome = run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listener, backend=backend)
    assert listener.killed is not None
    records = read_records(outcome.run_folder / "records.jsonl").records
    assert audit(records) == []
    assert not SearchState.replay(space, records).running
    assert (outcome.counts.total, outcome.counts.failed) == (12, 0)
    assert outcome.counts.completed >= 1
    assert any("lost its process" in text for text in notices(records))


# A process that is started anew takes seconds, so few are.
@pytest.mark.parametrize(("pack", "trials", "most"), [("auto", 4, 2), (1, 1, 1)], ids=["host", "process"])
def test_a_trial_that_runs_out_of_memory_goes_on_from_its_checkpoint_and_is_given_up_at_last(
    starving: Callable[..., Any],
    make_space: MakeSpace,
    listened: Any,
    tmp_path: Path,
    pack: Any,
    trials: int,
    most: int,
) -> None:
    from bmtune.search.driver import run_search

    def always(seed: int) -> bool:
        return pack == 1 or seed % 2 == 0

    space = make_space(
        ("trials: 8", f"trials: {trials}"),
        (
            "budget:",
            f"run: {{scheduler: none, report_every_s: 0, pack: {pack}, max_failures: {most}}}\nbudget:",
        ),
    )
    with contextlib.suppress(SearchStoppedError):
        run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listened, backend=starving(always))
    records = read_records(tmp_path / "run" / "records.jsonl").records
    assert audit(records) == []
    ends = SearchState.replay(space, records).finished
    assert len(ends) == trials
    for number, trial in ends.items():
        starved = always(trial.run.seed)
        assert trial.end.status == ("failed" if starved else "completed")
        assert trial.end.reason.startswith("MemoryError: ") == starved
        said = [text for text in notices(records) if text.startswith(f"trial {number} ran out of memory")]
        assert said == [
            f"trial {number} ran out of memory and goes on from epoch 0 ({count} of {most})"
            for count in range(1, most + 1 if starved else 2)
        ]


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
