"""Who is advanced with whom, and what one that fails does to the others."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from bmtune.search.packs import DeviceLostError
from bmtune.search.packs import Packs
from bmtune.training import EpochReport
from bmtune.training import Status


class Member:
    """A training that counts its epochs; `error` is what it raises."""

    def __init__(self, key: str = "a", error: Exception | None = None) -> None:
        self.key = key
        self.error = error
        self.epochs = 0

    def report(self) -> EpochReport:
        self.epochs += 1
        return EpochReport(
            "pre", self.epochs, self.epochs, {}, 0.0, Status.RUNNING, eligible=True, best_epoch=None, best_metrics=None
        )


class Memory:
    """A packing that fits `room` members, and whose members raise before any of them changes."""

    def __init__(self, room: int = 100, message: str = "DefaultCPUAllocator: can't allocate memory") -> None:
        self.room = room
        self.message = message
        self.tried: list[int] = []

    def width(self, trainings: Any) -> int:
        return len(trainings)

    def key(self, training: Any) -> str:
        return str(training.key)

    def advance(self, trainings: Sequence[Any]) -> Sequence[EpochReport]:
        self.tried.append(len(trainings))
        if len(trainings) > self.room:
            raise RuntimeError(self.message)
        for training in trainings:
            if training.error is not None:
                raise training.error
        return [training.report() for training in trainings]


def outcomes(found: list[EpochReport | Exception]) -> list[bool]:
    return [isinstance(entry, EpochReport) for entry in found]


def test_equal_keys_form_a_pack_in_order_of_their_first_member() -> None:
    members = [Member("b"), Member("a"), Member("b"), Member("a")]
    assert Packs(Memory()).group(members) == [[members[0], members[2]], [members[1], members[3]]]


def test_only_the_guilty_member_fails() -> None:
    members = [Member(), Member(error=ValueError("no luck")), Member()]
    found = Packs(Memory()).advance(members)
    assert outcomes(found) == [True, False, True]
    assert str(found[1]) == "no luck"
    assert [member.epochs for member in members] == [1, 0, 1]


def test_a_pack_that_does_not_fit_is_halved_until_it_does_and_stays_halved() -> None:
    memory = Memory(room=3)
    packs, members = Packs(memory), [Member() for _ in range(10)]
    assert outcomes(packs.advance(members)) == [True] * 10
    assert memory.tried == [10, 5, 2, 3, 5, 2, 3]
    assert [member.epochs for member in members] == [1] * 10
    assert [len(pack) for pack in packs.group(members)] == [2, 3, 2, 3]
    assert [len(pack) for pack in packs.group([Member("other") for _ in range(10)])] == [10]


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4096 bytes."), "4096 bytes more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has"), "20.00 MiB more"),
        (MemoryError(), "more memory than there is"),
    ],
)
def test_one_that_does_not_fit_alone_fails_alone_and_says_what_it_needs(error: Exception, size: str) -> None:
    found = Packs(Memory()).advance([Member(), Member(error=error)])
    assert outcomes(found) == [True, False]
    assert isinstance(found[1], MemoryError)
    assert size in str(found[1])
    assert found[1].__cause__ is error


def test_a_lost_device_is_no_members_fault() -> None:
    members = [Member(error=RuntimeError("CUDA error: an illegal memory access was encountered")), Member()]
    with pytest.raises(DeviceLostError, match="illegal memory access"):
        Packs(Memory()).advance(members)


def test_a_real_allocation_that_cannot_be_is_known_as_one() -> None:
    class Greedy(Member):
        def report(self) -> EpochReport:
            torch.empty(2**62, dtype=torch.uint8)
            return super().report()

    found = Packs(Memory()).advance([Greedy(), Member()])
    assert outcomes(found) == [False, True]
    assert "4611686018427387904 bytes more than there is" in str(found[0])
