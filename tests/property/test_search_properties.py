import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.config.paths import all_paths
from bmtune.config.space import SearchSpace
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.errors import ConfigError
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.search.halving import Arrival
from bmtune.search.halving import Standing
from bmtune.search.halving import decide
from bmtune.search.halving import decide_arrival
from bmtune.search.halving import next_promotion
from bmtune.search.halving import rungs

pytestmark = pytest.mark.slow
FILES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

any_float = st.floats()
json_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
small = st.integers(0, 1000)
metrics = st.dictionaries(st.text(), any_float, max_size=4)
header = st.builds(
    RunStarted,
    run=st.text(),
    trainer=st.text(),
    dataset=st.text(),
    data_hash=st.text(),
    objective=st.builds(Objective, metric=st.text(), mode=st.sampled_from(["max", "min"])),
    trials=small,
    max_epochs=small,
    seed=small,
    bmtune=st.text(),
    time=st.floats(0, 1e10),
)
later = st.one_of(
    st.builds(
        Rung,
        trial=small,
        rung=st.integers(1, 99),
        value=st.none() | any_float,
        decision=st.sampled_from(["continue", "stop", "promote", "pause"]),
    ),
    st.builds(TrialPromoted, trial=small, rung=st.integers(1, 99), time=any_float),
    st.builds(
        TrialStarted,
        trial=small,
        params=st.dictionaries(st.text(), json_value, max_size=3),
        seed=small,
        time=any_float,
    ),
    st.builds(
        Epoch,
        trial=small,
        phase=st.text(),
        epoch=st.integers(1, 99),
        budget=small,
        metrics=metrics,
        seconds=any_float,
        eligible=st.booleans(),
        best_epoch=st.none() | small,
        best_metrics=st.none() | metrics,
    ),
    st.builds(
        TrialFinished,
        trial=small,
        status=st.sampled_from(["completed", "pruned", "failed"]),
        reason=st.text(),
        value=st.none() | any_float,
        error=st.none() | st.text(),
        time=any_float,
    ),
)


def as_text(records: list[Record]) -> list[str]:
    """Text tells NaN from NaN no more."""
    return [record.model_dump_json() for record in records]


def written(path: Path, records: list[Record]) -> bytes:
    path.unlink(missing_ok=True)
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


@FILES
@given(first=header, rest=st.lists(later, max_size=5))
def test_records_come_back_as_they_were(tmp_path: Path, first: RunStarted, rest: list[Any]) -> None:
    path = tmp_path / "records.jsonl"
    written(path, [first, *rest])
    assert as_text(list(read_records(path).records)) == as_text([first, *rest])


@FILES
@given(first=header, rest=st.lists(later, max_size=4), data=st.data())
def test_a_file_cut_anywhere_gives_its_whole_lines(
    tmp_path: Path, first: RunStarted, rest: list[Any], data: st.DataObject
) -> None:
    path = tmp_path / "records.jsonl"
    content = written(path, [first, *rest])
    offset = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:offset])
    read = read_records(path)
    whole = content[:offset].count(b"\n")
    assert as_text(list(read.records)) == as_text([first, *rest][:whole])
    assert content[: read.size].count(b"\n") == whole
    assert (read.notice is None) == (read.size == offset)


values = st.one_of(st.none(), st.floats())


@given(value=values, others=st.lists(values, max_size=30), eta=st.integers(2, 5), mode=st.sampled_from(["max", "min"]))
def test_halving_invariants(value: float | None, others: list[float | None], eta: int, mode: Any) -> None:
    decision = decide(value, others, eta, mode)
    assert decide(value, list(reversed(others)), eta, mode) == decision
    if value is None or not math.isfinite(value):
        assert decision == "stop"
        return
    if len(others) + 1 < eta:
        assert decision == "continue"
    mirrored = [None if other is None else -other for other in others]
    assert decide(-value, mirrored, eta, "min" if mode == "max" else "max") == decision
    finite = [other for other in others if other is not None and math.isfinite(other)]
    best = max if mode == "max" else min
    if value == best([value, *finite]):
        assert decision == "continue"


@given(shares=st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=60, unique=True), eta=st.integers(2, 5))
def test_of_different_values_one_in_eta_would_go_on(shares: list[float], eta: int) -> None:
    survivors = [
        value
        for position, value in enumerate(shares)
        if decide(value, shares[:position] + shares[position + 1 :], eta, "min") == "continue"
    ]
    assert sorted(survivors) == sorted(shares)[: max(1, len(shares) // eta)]


@given(
    values=st.lists(values, min_size=1, max_size=40),
    eta=st.integers(2, 5),
    mode=st.sampled_from(["max", "min"]),
    places=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_promotion_invariants(values: list[float | None], eta: int, mode: Any, places: list[bool]) -> None:
    """One rung: trials arrive, and now and then there is a place for a promoted one."""
    arrivals: list[Arrival] = []
    waiting: dict[int, int] = {}
    promoted: list[int] = []
    sign = 1 if mode == "max" else -1

    def check(trial: int) -> None:
        own = arrivals[trial].value
        assert own is not None
        assert math.isfinite(own)
        finite = [value for _, value, _ in arrivals if value is not None and math.isfinite(value)]
        # It is among the best 1/eta of all that had arrived, and nobody goes on twice.
        assert sum(sign * value > sign * own for value in finite) < len(arrivals) // eta
        assert trial not in promoted
        promoted.append(trial)

    for trial, value in enumerate(values):
        decision = decide_arrival(Arrival(trial, value), 3, Standing({3: arrivals}, waiting), eta, mode)
        arrivals.append(Arrival(trial, value))
        if decision == "promote":
            check(trial)
        elif decision == "pause":
            waiting[trial] = 3
        else:
            assert value is None or not math.isfinite(value)
        while places[trial] and (found := next_promotion(Standing({3: arrivals}, waiting), eta, mode)) is not None:
            assert waiting.pop(found.trial) == found.rung == 3
            check(found.trial)
    while (found := next_promotion(Standing({3: arrivals}, waiting), eta, mode)) is not None:
        del waiting[found.trial]
        check(found.trial)
    # With places for all, every one of the best 1/eta has gone on.
    comparable = [entry for entry in arrivals if entry.value is not None and math.isfinite(entry.value)]
    ordered = sorted(comparable, key=lambda entry: -sign * (entry.value or 0.0))
    assert {entry.trial for entry in ordered[: len(arrivals) // eta]} <= set(promoted)


@given(grace=st.integers(1, 50), eta=st.integers(2, 5), max_epochs=st.integers(1, 500))
def test_rungs_rise_by_eta_and_stay_below_the_end(grace: int, eta: int, max_epochs: int) -> None:
    found = rungs(grace, eta, max_epochs)
    assert all(grace <= rung < max_epochs for rung in found)
    assert all(right == left * eta for left, right in pairwise(found))


def outcome_of(path: Path) -> SearchSpace | ConfigError:
    try:
        return load_space(path)
    except ConfigError as error:
        return error


dimension = st.fixed_dictionaries(
    {"type": st.sampled_from(["float", "int", "categorical", "nit"])},
    optional={
        "low": json_value,
        "high": json_value,
        "step": json_value,
        "log": json_value,
        "choices": json_value,
        "when": json_value,
        "lwo": json_value,
    },
)
space_file = st.fixed_dictionaries(
    {"trainer": st.sampled_from(["gan", "classification"]), "objective": st.just({"metric": "fid"})},
    optional={
        "budget": json_value,
        "run": json_value,
        "base": json_value,
        "extra": json_value,
        "parameters": st.dictionaries(st.sampled_from(all_paths()) | st.text(max_size=8), dimension, max_size=3),
    },
)


@FILES
@given(content=space_file | json_value)
def test_a_space_file_gives_a_space_or_one_clean_error(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content))
    found = outcome_of(path)
    assert isinstance(found, SearchSpace) or "space.yaml" in str(found)


@FILES
@given(data=st.data())
def test_a_damaged_space_gives_a_space_or_one_clean_error(tmp_path: Path, data: st.DataObject) -> None:
    text = default_space_path("gan").read_text()
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    path = tmp_path / "space.yaml"
    path.write_text(text[:start] + data.draw(st.text(max_size=6)) + text[end:], encoding="utf-8")
    found = outcome_of(path)
    assert isinstance(found, SearchSpace) or "space.yaml" in str(found)
