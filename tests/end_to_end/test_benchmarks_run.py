"""What the benchmarks time still runs; how fast is not a test's business."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import generative
from benchmarks import step
from benchmarks.__main__ import main

SMALL = (3, 4, 2, 8)


# Tensorkrowch indexes with a list, which torch deprecates; the rival is timed as it is.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_the_steps_that_are_timed_run_again_and_again():
    for made in (
        step.our_step(SMALL, 2),
        step.tensorkrowch_step(SMALL, 2),
        generative.recipe_step("classification", SMALL, 2),
        generative.recipe_step("generative", SMALL, 2, "complex64"),
        generative.tensorkrowch_likelihood(SMALL, 2),
    ):
        for _ in range(3):
            made()


def test_an_unknown_benchmark_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["stepp"]) == 2
    assert "a benchmark must be one of step" in capsys.readouterr().err
