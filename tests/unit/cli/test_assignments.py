import pytest

from bmtune.cli.assignments import split_amounts
from bmtune.errors import ConfigError


def test_amounts_are_taken_apart() -> None:
    assert split_amounts(["A100=0.25", "fast=2"]) == (("A100", 0.25), ("fast", 2.0))


@pytest.mark.parametrize("text", ["A100", "=1", "A100=", "A100=x", "A100=0", "A100=-1", "A100=nan", "A100=inf"])
def test_an_amount_is_a_number_above_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="--resource takes NAME=AMOUNT with an amount above 0, but got"):
        split_amounts([text])


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["A100=1", "A100=2"], "'A100' comes twice"), (["GPU=1"], "'GPU' has an option of its own, --gpus-per-trial")],
)
def test_each_resource_comes_once(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_amounts(texts)
