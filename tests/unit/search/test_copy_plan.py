"""What of a run is copied, in which order, and which of two copies is further."""

import pytest

from bmtune.search.copy_plan import Step
from bmtune.search.copy_plan import ahead
from bmtune.search.copy_plan import is_copied
from bmtune.search.copy_plan import removed
from bmtune.search.copy_plan import steps
from bmtune.search.copy_plan import whole_lines

OLD, NEW = (1, 1, 1), (2, 2, 2)
LAST = ("checkpoints/t/last/tensors.safetensors", "checkpoints/t/last/checkpoint.json")
PREVIOUS = tuple(path.replace("/last/", "/.last.previous/") for path in LAST)
BEST = tuple(path.replace("/last/", "/best/") for path in LAST)


@pytest.mark.parametrize("path", ["records.jsonl", "search.yaml", "best.yaml", "report.html", *LAST, *PREVIOUS])
def test_what_a_run_needs_to_go_on_is_copied(path: str):
    assert is_copied(path)


@pytest.mark.parametrize(
    "path",
    [
        *("study.db", "study.db-journal", ".lock", ".confirmation.lock", ".seen-ab", ".search.yaml.new"),
        *("a/.last.new/checkpoint.json", "a/.last.damaged/checkpoint.json", "pretraining/ab.lock"),
    ],
)
def test_views_locks_and_temporary_files_are_not(path: str):
    assert not is_copied(path)


def test_records_come_after_the_checkpoints_that_they_name_and_the_best_after_the_records():
    here = dict.fromkeys(("best.yaml", "records.jsonl", "search.yaml", *LAST, *PREVIOUS), NEW)
    order = [path for step in steps(here, {}) for path in step.paths]
    assert order == [*PREVIOUS, *LAST, "search.yaml", "records.jsonl", "best.yaml"]


def test_only_what_has_changed_is_copied_and_a_checkpoint_as_a_whole():
    here = {"search.yaml": OLD, "records.jsonl": NEW, LAST[0]: OLD, LAST[1]: NEW, "study.db": NEW}
    there = {"search.yaml": OLD, "records.jsonl": OLD, LAST[0]: OLD}
    assert steps(here, there) == (Step(LAST, "checkpoints/t/last"), Step(("records.jsonl",)))


def test_what_nobody_knows_is_copied_again():
    assert steps({"search.yaml": OLD}, {"search.yaml": None}) == (Step(("search.yaml",)),)


def test_a_checkpoint_that_is_replaced_is_sheltered_unless_its_predecessor_is_there_anyhow():
    assert steps(dict.fromkeys(BEST, NEW), dict.fromkeys(BEST, OLD)) == (
        Step(BEST, "checkpoints/t/best", "checkpoints/t/.best.previous"),
    )
    kept = steps(dict.fromkeys(LAST + PREVIOUS, NEW), dict.fromkeys(LAST + PREVIOUS, OLD))
    assert [step.shelter for step in kept] == [None, None]


def test_a_shelter_that_is_still_there_is_not_overwritten_with_what_may_be_half_replaced():
    shelter = tuple(path.replace("/best/", "/.best.previous/") for path in BEST)
    assert steps(dict.fromkeys(BEST, NEW), dict.fromkeys(BEST + shelter, None)) == (Step(BEST, "checkpoints/t/best"),)
    half = dict.fromkeys((*BEST, shelter[0]), None)
    assert steps(dict.fromkeys(BEST, NEW), half)[0].shelter == "checkpoints/t/.best.previous"


def test_what_is_gone_here_goes_there():
    assert removed({"a"}, {"b": OLD, "a": OLD, "c": None}) == ("b", "c")


@pytest.mark.parametrize(("content", "whole"), [(b"", b""), (b"a", b""), (b"a\nb", b"a\n"), (b"a\nb\n", b"a\nb\n")])
def test_a_torn_line_is_left_out(content: bytes, whole: bytes):
    assert whole_lines(content) == whole


@pytest.mark.parametrize(
    ("here", "there", "found"),
    [
        (b"", b"", "neither"),
        (b"a\n", b"a\n", "neither"),
        (b"a\nb\n", b"a\n", "here"),
        (b"a\n", b"", "here"),
        (b"a\n", b"a\nb\n", "there"),
        (b"a\nb", b"a\nbc\n", "there"),
        (b"a\nb\n", b"a\nc\n", "apart"),
        (b"a\nb\n", b"c\n", "apart"),
    ],
)
def test_records_of_which_one_begins_the_other_belong_together(here: bytes, there: bytes, found: str):
    assert ahead(here, there) == found
