import pytest

from bmtune.cli.assignments import split_assignments
from bmtune.cli.durations import parse_duration
from bmtune.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), (" 5m ", 300)]
)
def test_durations_are_seconds(text: str, seconds: float):
    assert parse_duration(text, "--time-budget") == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "m", "5 m", "5x", "1e3", "nan", "inf", "1m30s"])
def test_what_is_no_positive_duration_is_refused_with_examples(text: str):
    with pytest.raises(ConfigError) as caught:
        parse_duration(text, "--time-budget")
    assert repr(text) in str(caught.value)
    assert "write 90s, 10m or 1.5h" in str(caught.value)


def test_assignments_are_split_at_the_first_equals_sign():
    assert split_assignments(["a.b=1", "c=x=y", "d="]) == (("a.b", "1"), ("c", "x=y"), ("d", ""))


@pytest.mark.parametrize("assignment", ["a.b", "=1", ""])
def test_an_assignment_needs_a_path_and_an_equals_sign(assignment: str):
    with pytest.raises(ConfigError, match="--set takes path=value"):
        split_assignments([assignment])


def test_a_path_that_comes_twice_is_refused():
    with pytest.raises(ConfigError, match="'a.b' comes twice"):
        split_assignments(["a.b=1", "a.b=2"])
