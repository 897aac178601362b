"""Searches on a real Ray in which trials pause at rungs and go on later."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.search.outcome import SearchOutcome
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import SearchState

pytestmark = pytest.mark.slow
PROMOTE = ("budget:", "run: {halving: promote}\nbudget:")
Search = Callable[[SearchSpace, int], tuple[SearchOutcome, tuple[Record, ...]]]


@pytest.fixture
def search(backend: Any, listened: Any, tmp_path: Path) -> Search:
    """Runs a search of the training that takes no time, so many trials at once."""
    from bmtune.search.driver import run_search

    def run(space: SearchSpace, concurrent: int) -> tuple[SearchOutcome, tuple[Record, ...]]:
        space = replace(space, run=space.run.model_copy(update={"max_concurrent": concurrent}))
        outcome = run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listened, backend=backend)
        return outcome, read_records(outcome.run_folder / "records.jsonl").records

    return run


def epochs(records: tuple[Record, ...]) -> dict[int, list[int]]:
    """The epochs of each trial, in the order of the records."""
    found = defaultdict(list)
    for record in records:
        if isinstance(record, Epoch):
            found[record.trial].append(record.epoch)
    return found


def check_published(space: SearchSpace, records: tuple[Record, ...]) -> None:
    """Every place went to the trial that the published algorithm names, as far as it had seen at that moment."""
    sign = -1 if space.objective.direction == "max" else 1
    seen: dict[int, list[tuple[float, int]]] = defaultdict(list)
    left: set[tuple[int, int]] = set()
    started = 0

    def promotable() -> tuple[int, int] | None:
        for rung in sorted(seen, reverse=True):
            ranked = sorted(seen[rung], key=lambda arrival: arrival[0])
            for _, trial in ranked[: len(ranked) // space.budget.eta]:
                if (trial, rung) not in left:
                    return trial, rung
        return None

    for record in records:
        if isinstance(record, TrialStarted):
            assert promotable() is None
            started += 1
        elif isinstance(record, Rung):
            assert record.value is not None
            seen[record.rung].append((sign * record.value, record.trial))
            assert (record.decision == "promote") == (promotable() == (record.trial, record.rung))
            if record.decision == "promote":
                left.add((record.trial, record.rung))
        elif isinstance(record, TrialPromoted):
            # Once all were started, and none is promotable, the search still trains its best one whole.
            assert promotable() in ((record.trial, record.rung), None if started == space.budget.trials else ())
            left.add((record.trial, record.rung))


def check_story(space: SearchSpace, outcome: SearchOutcome, records: tuple[Record, ...]) -> None:
    """What is true of every search that promotes."""
    check_published(space, records)
    assert all(done == list(range(1, len(done) + 1)) for done in epochs(records).values())
    paused: dict[int, int] = {}
    for record in records:
        if isinstance(record, Rung) and record.decision == "pause":
            paused[record.trial] = record.rung
        elif isinstance(record, TrialPromoted):
            assert paused.pop(record.trial) == record.rung
        elif isinstance(record, Epoch):
            assert record.trial not in paused
    ends = {record.trial: record for record in records if isinstance(record, TrialFinished)}
    assert len(ends) == space.budget.trials == outcome.counts.total
    for trial, rung in paused.items():
        assert (ends[trial].status, ends[trial].reason) == (
            "pruned",
            f"paused at rung {rung}; not among the best 1/3 there",
        )
        assert ends[trial].value is not None
    assert not SearchState.replay(space, records).running


def test_paused_trials_go_on_when_later_results_promote_them_and_the_search_ends(
    search: Search, make_space: Callable[..., SearchSpace]
) -> None:
    space = make_space(("trials: 8", "trials: 20"), PROMOTE)
    outcome, records = search(space, 2)
    check_story(space, outcome, records)
    promoted = {record.trial for record in records if isinstance(record, TrialPromoted)}
    done = epochs(records)
    whole = {record.trial for record in records if isinstance(record, TrialFinished) and record.status == "completed"}
    assert promoted & whole
    assert all(len(done[trial]) == 9 for trial in whole)
    assert outcome.best is not None
    assert outcome.best.best.trial in whole
    assert outcome.best.best.value == min(
        record.value
        for record in records
        if isinstance(record, TrialFinished) and record.trial in whole and record.value is not None
    )


def test_a_search_of_two_trials_trains_the_better_one_whole(
    search: Search, make_space: Callable[..., SearchSpace]
) -> None:
    space = make_space(("trials: 8", "trials: 2"), PROMOTE)
    outcome, records = search(space, 1)
    check_story(space, outcome, records)
    assert sorted(len(done) for done in epochs(records).values()) == [1, 9]


def test_a_promoted_trial_trains_as_if_it_had_never_paused(ray_cluster: Any, listened: Any, tmp_path: Path) -> None:
    from bmtune.search.driver import run_search
    from bmtune.search.request import SearchRequest
    from bmtune.search.resolve import resolve

    def metrics(name: str, **options: Any) -> dict[tuple[int, str, int], dict[str, float]]:
        request = SearchRequest(
            "classification", dataset="iris", trials=4, max_epochs=7, storage=tmp_path, name=name, **options
        )
        resolved = resolve(request)
        space = replace(resolved.space, budget=resolved.space.budget.model_copy(update={"grace": 2}))
        outcome = run_search(replace(resolved, space=space), listened)
        records = read_records(outcome.run_folder / "records.jsonl").records
        found = {}
        for record in records:
            if isinstance(record, Epoch):
                key = (record.trial, record.phase, record.epoch)
                assert key not in found
                found[key] = record.metrics
        if "halving" in options:
            check_story(load_space(outcome.run_folder / "search.yaml"), outcome, records)
            assert any(isinstance(record, TrialPromoted) for record in records)
        return found

    paused = metrics("promote", halving="promote", sampler="random")
    whole = metrics("none", scheduler="none", sampler="random")
    assert len(paused) < len(whole)
    assert paused == {key: whole[key] for key in paused}
