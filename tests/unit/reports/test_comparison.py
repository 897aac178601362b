from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bmtune.errors import ConfigError
from bmtune.records import Objective
from bmtune.reports.comparison import best_at
from bmtune.reports.comparison import compare
from bmtune.reports.comparison import marks_of
from bmtune.reports.comparison_page import comparison_page
from bmtune.reports.comparison_text import overview
from bmtune.reports.comparison_text import progress_table


def printed(table: Any) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed below
    console.print(table)
    console.file.close()
    return console.export_text()


def test_runs_are_told_apart_by_their_best_values(recorded: Callable[..., Any], told: Callable[..., Any]):
    found = compare([recorded(told((0.5, 0.4)), name="one"), recorded(told((0.3, 0.2)), name="two")])
    assert [(run.label, run.value, run.verdict) for run in found.runs] == [
        ("one", 0.4, "100 % higher"),
        ("two", 0.2, "best"),
    ]
    assert found.warnings == ()


def test_other_objectives_and_other_data_are_refused_in_one_sentence(
    recorded: Callable[..., Any], told: Callable[..., Any]
):
    one = recorded(told((0.5,)), name="one")
    aims = recorded(told((0.5,)), name="aims", objective=Objective(metric="acc", mode="max"))
    with pytest.raises(ConfigError, match=r"must have one objective, but .*one searched for loss .*aims for acc"):
        compare([one, aims])
    data = recorded(told((0.5,)), name="data", data_hash="cd" * 32)
    with pytest.raises(ConfigError, match=r"must have the same data, but .*abababababab.*cdcdcdcdcdcd"):
        compare([one, data])


def test_one_run_or_the_same_twice_is_refused(recorded: Callable[..., Any], told: Callable[..., Any]):
    one = recorded(told((0.5,)))
    for reads in ([one], [one, one]):
        with pytest.raises(ConfigError, match="two different runs or more"):
            compare(reads)


def test_what_differs_is_said(recorded: Callable[..., Any], told: Callable[..., Any]):
    one = recorded(told((0.5,)), name="one")
    other = recorded(
        told((0.5,)),
        name="other",
        trainer="gan",
        bmtune="9",
        max_epochs=4,
        ended=False,
        replaced=[("moons_small}", "moons_small, split_seed: 3}")],
    )
    warnings = " ".join(compare([one, other]).warnings)
    for words in ("trainers differ (classification, gan)", "(split_seed)", "budgets", "versions", "1 run of 2 has not"):
        assert words in warnings


def test_the_best_so_far_at_shared_places(recorded: Callable[..., Any], told: Callable[..., Any]):
    long, short = recorded(told((0.5, 0.4, 0.3, 0.2)), name="long"), recorded(told((0.9, 0.8)), name="short")
    found = compare([long, short])
    marks = marks_of(found, "epochs")
    assert marks == [1.0, 2.0, 3.0, 4.0]
    assert [best.value for best in best_at(long.history, "epochs", marks)] == [0.5, 0.4, 0.3, 0.2]
    assert best_at(short.history, "epochs", marks) == [(0.9, False), (0.8, False), (0.8, True), (0.8, True)]
    assert best_at(short.history, "epochs", [0.0]) == [(None, False)]
    text = printed(progress_table(found, "epochs"))
    assert "(0.8)" in text
    assert "short" in text


def test_a_run_without_a_measured_trial_stays_in_the_table(recorded: Callable[..., Any], told: Callable[..., Any]):
    found = compare([recorded(told((0.5,)), name="one"), recorded(name="none", ended=False)])
    assert found.runs[1].verdict == "nothing measured, not ended"
    assert "nothing measured" in printed(overview(found))
    printed(progress_table(found, "seconds"))
    assert "nothing measured" in comparison_page(found)


def test_names_are_text_and_no_markup(recorded: Callable[..., Any], told: Callable[..., Any]):
    found = compare([recorded(told((0.5,)), name="[red]one"), recorded(told((0.5,)), name="<b>two")])
    assert "[red]one" in printed(overview(found))
    page = comparison_page(found)
    assert "<b>two" not in page
    assert "&lt;b&gt;two" in page


def test_runs_of_one_name_are_told_by_their_folders(recorded: Callable[..., Any], told: Callable[..., Any]):
    reads = [recorded(told((0.5,)), name=name, run="same") for name in ("one", "two")]
    assert [run.label for run in compare(reads).runs] == [str(read.folder) for read in reads]
