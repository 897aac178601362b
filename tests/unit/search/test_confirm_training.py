"""Trainings of a confirmation as lanes: what hosts say is passed on, and lost ones go on."""

from types import SimpleNamespace

import pytest

from bmtune.records import Objective
from bmtune.search.confirm_training import Pair
from bmtune.search.confirm_training import PairTraining
from bmtune.search.host import Said


class Saying:
    """A fleet whose host says something while the disk is full, and that then loses its patience."""

    def ask_for(self, lanes: int) -> None:
        """There is one host."""

    def place(self, task: str, *, suspect: bool = False) -> int:
        return 0

    def hear(self, timeout_s: float) -> list[Said]:
        self.hear = self.give_up  # type: ignore[method-assign]
        return [Said("the disk is full")]

    def give_up(self, timeout_s: float) -> list[Said]:
        raise InterruptedError


def test_what_a_host_says_reaches_the_user() -> None:
    said: list[str] = []
    objective = Objective(metric="loss", mode="min")
    training = PairTraining(Saying(), objective, 3, lambda end: None, lambda epochs: None, say=said.append)  # type: ignore[arg-type]
    task = SimpleNamespace(model_dump_json=lambda: "{}")
    with pytest.raises(InterruptedError):
        training.train({Pair(0, 1): task})  # type: ignore[dict-item]
    assert said == ["the disk is full"]
