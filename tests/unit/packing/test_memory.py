import ctypes
import os
from pathlib import Path

import pytest
import torch

from bmtune.packing import memory
from bmtune.packing.memory import ALLOCATOR
from bmtune.packing.memory import Peak
from bmtune.packing.memory import asked_bytes
from bmtune.packing.memory import free_bytes
from bmtune.packing.memory import given_back
from bmtune.packing.memory import ran_out
from bmtune.packing.memory import share_of_machine

CPU = torch.device("cpu")
SIZE = 1000
BYTES = 4 * SIZE


def peak_of(work):
    with Peak(CPU) as peak:
        work()
    return peak.bytes / ALLOCATOR


def test_tensors_count_while_they_live():
    def one_after_another():
        for _ in range(5):
            torch.ones(SIZE)

    def together():
        return [torch.ones(SIZE) for _ in range(5)]

    # The next one is made before the last one's name is taken from it at most.
    assert BYTES <= peak_of(one_after_another) <= 2 * BYTES
    assert peak_of(together) == 5 * BYTES


def test_views_and_what_was_there_before_count_nothing():
    before = torch.ones(SIZE)
    assert peak_of(lambda: before.view(10, -1).mT[3:].add_(1)) == 0


def test_what_is_saved_for_the_backward_pass_counts():
    leaf = torch.ones(SIZE, requires_grad=True)

    def chain():
        value = leaf
        for _ in range(10):
            value = value.exp()
        torch.autograd.grad(value.sum(), leaf)

    assert 10 * BYTES <= peak_of(chain) <= 14 * BYTES


def test_losses_with_gradients_inside_are_measured_under_a_trial_axis():
    leaf = torch.ones(4, SIZE, requires_grad=True)

    def loss(row):
        slope = torch.func.grad(lambda inner: inner.pow(3).sum())(row)
        return (slope * row).sum()

    def step():
        torch.autograd.grad(torch.vmap(loss)(leaf).sum(), leaf)

    assert 4 * BYTES * 2 <= peak_of(step) <= 4 * BYTES * 20


def test_the_system_tells_how_much_is_free():
    free = free_bytes(CPU)
    assert free is None or 2**20 < free < 2**50


@pytest.mark.parametrize(
    ("error", "bytes_asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"), 5 * 2**29),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), 20 * 2**20),
        (MemoryError("Unable to allocate 8 bytes"), 8),
        (MemoryError(), 0),
    ],
)
def test_running_out_of_memory_is_told_with_the_size_where_it_is_known(error, bytes_asked):
    assert ran_out(error)
    assert asked_bytes(error) == bytes_asked


def test_the_allocator_of_the_cpu_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert ran_out(caught.value)
    assert asked_bytes(caught.value) == 2**60


def test_other_errors_are_no_lack_of_memory():
    assert not ran_out(RuntimeError("expected scalar type Float"))
    assert not ran_out(ValueError("allocate 3 bytes"))


def test_a_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    for name, text in {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "inactive_file 100\n"}.items():
        (tmp_path / name).write_text(text)
    # Of the 1000, 60 are never handed out; 600 are taken.
    assert free_bytes(CPU) == 340
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(CPU) != 340


def test_work_that_passes_the_limit_ends_at_once_and_not_with_the_process():
    made = []

    def work():
        while True:
            made.append(torch.ones(SIZE))

    with (
        Peak(CPU, limit=round(3.5 * ALLOCATOR * BYTES)) as peak,
        pytest.raises(MemoryError, match="more than") as caught,
    ):
        work()
    assert ran_out(caught.value)
    assert len(made) == 3
    assert peak.bytes == round(4 * ALLOCATOR * BYTES)


def test_hosts_divide_the_memory_of_a_machine_as_its_processors(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 5, 6}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert share_of_machine(CPU) == 0.25
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert share_of_machine(CPU) == 1.0
    assert share_of_machine(torch.device("cuda")) == 1.0


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be told to give memory back")
def test_memory_that_no_tensor_uses_is_given_back_to_the_system():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Once a large block was freed, glibc takes blocks of megabytes from its heap, and keeps them.
    torch.ones(5 * 2**20)
    blocks = [torch.ones(2**18) for _ in range(200)]
    full = resident()
    with given_back(CPU):
        # The last block keeps the others from the end of the heap.
        del blocks[:-1]
    assert full - resident() > 150 * 2**20
