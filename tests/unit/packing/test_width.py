import json
import os
import threading
import time
from functools import lru_cache

import pytest
import torch
from filelock import FileLock
from filelock import Timeout

from bmtune.born import get_embedding
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing import Lane
from bmtune.packing import advance_lanes
from bmtune.packing.memory import Peak
from bmtune.packing.width import DEFAULT
from bmtune.packing.width import LaneTooBigError
from bmtune.packing.width import Widths
from bmtune.training import make_problem
from bmtune.training import start

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def lock(monkeypatch, tmp_path_factory):
    """The lock of these tests, which no other process of this machine knows."""
    folder = tmp_path_factory.mktemp("lock")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return FileLock(folder / f"bmtune-memory-{os.getuid()}.lock")


@lru_cache
def data():
    config = TrialConfig.model_validate({"data": {"dataset": "moons_small"}})
    return DataHandler(config.data, get_embedding(config.born.embedding).data_interval)


def lanes_of(number, *, batch_size=4, recipe="classification"):
    """As many trials of one key, with 50 steps an epoch."""
    found = []
    for lane in range(number):
        trainers = {
            "classification": {"batch_size": batch_size, "optimizer": {"lr": 0.01 * (1 + lane)}},
            "adversarial": {"batch_size": batch_size, "attack": {"steps": 1}},
        }
        born = {"physical_dim": 3, "bond_dim": 4 + lane % 2}
        raw = {"recipe": recipe, "seed": lane, "data": {"dataset": "moons_small"}, "born": born, "trainer": trainers}
        problem = make_problem(TrialConfig.model_validate(raw), data())
        found.append(Lane(problem, start(problem)))
    return found


class Clock:
    """A clock by which the three timed steps of each width take as long as it is told, width by width."""

    def __init__(self, *seconds):
        self.times = [time for step in seconds for time in (step,) * 3]
        self.now, self.calls = 0.0, 0

    def __call__(self):
        self.calls += 1
        if self.calls % 2 == 0:
            self.now += self.times[self.calls // 2 - 1]
        return self.now

    @property
    def widths(self):
        """How many widths were timed."""
        return self.calls / 6


def no_clock():
    raise AssertionError("nothing is to be measured")


def plenty(device):
    return 2**40


def test_the_width_with_the_best_throughput_is_measured_once():
    clock = Clock(1.0, 2.0, 2.0, 5.0)
    widths = Widths(None, clock, plenty)
    # A step of 1, 4, 8 and 16 lanes: 1, 0.5, 0.25 and 0.31 seconds a lane.
    assert widths.width(lanes_of(12)) == 8
    assert clock.widths == 4
    assert widths.width(lanes_of(9)) == 8
    assert widths.width(lanes_of(3)) == 3
    assert clock.widths == 4


def test_more_lanes_later_measure_what_is_missing():
    clock = Clock(1.0, 2.0, 2.0)
    widths = Widths(None, clock, plenty)
    assert widths.width(lanes_of(3)) == 3
    assert clock.widths == 2
    assert widths.width(lanes_of(6)) == 6
    assert clock.widths == 3


def test_measuring_ends_where_wider_packs_gain_nothing():
    clock = Clock(1.0, 4.0, 8.0)
    assert Widths(None, clock, plenty).width(lanes_of(12)) == 1
    assert clock.widths == 3


def test_other_keys_are_measured_on_their_own():
    clock = Clock(1.0, 2.0, 1.0, 8.0)
    widths = Widths(None, clock, plenty)
    assert widths.width(lanes_of(2)) == 2
    assert widths.width(lanes_of(2, batch_size=5)) == 1


@pytest.mark.parametrize("recipe", ["classification", "adversarial"])
def test_no_trial_and_no_random_generator_is_changed(recipe):
    lanes = lanes_of(5, recipe=recipe)
    before = [[tensor.clone() for tensor in lane.state.cores] for lane in lanes]
    states, random = [lane.state for lane in lanes], torch.get_rng_state()
    clock = Clock(1.0, 1.0, 1.0)
    Widths(None, clock, plenty).width(lanes)
    assert clock.calls
    assert torch.equal(torch.get_rng_state(), random)
    assert all(lane.state is state for lane, state in zip(lanes, states, strict=True))
    for lane, tensors in zip(lanes, before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(lane.state.cores, tensors, strict=True))


def test_where_measuring_takes_longer_than_an_epoch_a_default_is_used():
    lanes = lanes_of(40, batch_size=100)
    assert Widths(None, no_clock, plenty).width(lanes) == DEFAULT
    assert Widths(None, no_clock, plenty).width(lanes[:2]) == 2


def whole(device):
    """All of the machine is this process's."""
    return 1.0


def bytes_of(folder, lanes):
    """What is measured of one lane, the largest."""
    Widths(folder, Clock(1.0, 2.0), plenty).width(lanes[:2])
    (path,) = folder.iterdir()
    return min(json.loads(path.read_text())["measured"], key=lambda entry: entry["width"])["bytes"]


@pytest.mark.parametrize(("room", "width"), [(1, 1), (2.9, 2), (3.1, 3), (3.9, 3)])
def test_no_more_lanes_than_memory_holds_are_advanced_together(tmp_path, room, width):
    lanes = lanes_of(64)
    free = round(room * bytes_of(tmp_path, lanes) / 0.8) + 1
    clock = Clock(1.0)
    assert Widths(None, clock, lambda device: free, whole).width(lanes) == width
    assert clock.widths == 1, "four would not fit"
    assert Widths(None, Clock(1.0), lambda device: 2 * free, lambda device: 0.5).width(lanes) == width


def test_lanes_whose_epochs_are_short_are_no_more_than_memory_holds_either(tmp_path):
    lanes = lanes_of(40, batch_size=100)
    clock, free = Clock(1.0), {"bytes": 2**23}
    widths = Widths(None, clock, lambda device: free["bytes"], whole)
    assert widths.width(lanes) == DEFAULT
    assert clock.widths == 1
    free["bytes"] = 0
    with pytest.raises(LaneTooBigError) as caught:
        widths.width(lanes)
    free["bytes"] = round(5.5 * caught.value.bytes / 0.8)
    assert widths.width(lanes) == 5
    assert clock.widths == 1


def test_a_single_lane_that_is_large_beside_the_free_memory_is_measured():
    with pytest.raises(LaneTooBigError, match="at least"):
        Widths(None, no_clock, lambda device: 1000, whole).width(lanes_of(1))
    clock = Clock(1.0)
    assert Widths(None, clock, lambda device: 2**20, whole).width(lanes_of(1)) == 1
    assert clock.widths == 1


@pytest.mark.parametrize(("room", "waits"), [(1.1, True), (1.9, True), (2.1, False)])
def test_a_pack_that_takes_more_than_its_share_has_the_machine_for_itself(tmp_path, lock, room, waits):
    lanes = lanes_of(2)[:1]
    free = round(room * bytes_of(tmp_path, lanes_of(2)) / 0.8)
    # Two processes share the machine.
    widths = Widths(tmp_path, no_clock, lambda device: free, lambda device: 0.5)
    assert widths.width(lanes) == 1
    with widths.turn(lanes):
        if waits:
            with pytest.raises(Timeout):
                lock.acquire(timeout=0)
        else:
            lock.acquire(timeout=0)
            lock.release()
    lock.acquire(timeout=0)


def test_a_small_pack_takes_no_turn(lock):
    lock.acquire(timeout=0)
    with Widths(None, no_clock, plenty, whole).turn(lanes_of(4)):
        pass


def test_a_lane_is_refused_only_when_no_other_process_has_its_turn(tmp_path, lock):
    lanes = lanes_of(2)
    one, held = bytes_of(tmp_path, lanes), threading.Event()

    def other():
        with lock:
            held.set()
            time.sleep(0.2)
            held.clear()

    # Nothing is free while the other process has its turn.
    widths = Widths(tmp_path, no_clock, lambda device: 0 if held.is_set() else 2 * one, whole)
    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(5)
    assert widths.width(lanes) == 1
    thread.join()


# Which rows have fallen is kept for each strength of an attack, and that is much for trials this small.
@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "least"), [("classification", 0.95), ("adversarial", 0.75)])
def test_what_is_measured_covers_a_whole_epoch(tmp_path, recipe, least):
    # Each step is small beside the validation of all rows, and each lane is as large as the others.
    lanes = lanes_of(8, batch_size=4, recipe=recipe)[::2]
    Widths(tmp_path, Clock(1.0, 1.0), plenty).width(lanes)
    (path,) = tmp_path.iterdir()
    measured = {entry["width"]: entry["bytes"] for entry in json.loads(path.read_text())["measured"]}
    for width in (1, 4):
        # What is kept for all epochs, such as embedded rows, is there by now.
        advance_lanes(lanes[:width])
        with Peak(torch.device("cpu")) as peak:
            advance_lanes(lanes[:width])
        assert least * peak.bytes <= measured[width] <= 1.5 * peak.bytes


def test_a_single_small_lane_is_a_pack_without_any_measurement():
    assert Widths(None, no_clock, plenty).width(lanes_of(1)) == 1


def test_measured_numbers_are_kept_in_a_folder_for_the_next_process(tmp_path):
    lanes = lanes_of(7)
    assert Widths(tmp_path / "new", Clock(1.0, 2.0, 6.0), plenty).width(lanes) == 4
    (path,) = (tmp_path / "new").iterdir()
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("bmtune.width", 2)
    assert [entry["width"] for entry in content["measured"]] == [1, 4, 8]
    assert Widths(tmp_path / "new", no_clock, plenty).width(lanes) == 4


def test_a_folder_that_cannot_be_made_is_given_up(tmp_path):
    (tmp_path / "file").write_text("in the way")
    widths = Widths(tmp_path / "file" / "widths", Clock(1.0, 2.0), plenty)
    assert widths.width(lanes_of(4)) == 4
    assert widths.width(lanes_of(4)) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: "",
        lambda content: content.replace("bmtune.width", "another"),
        lambda content: content.replace('"version": 2', '"version": 1'),
        lambda content: content.replace('"seconds": 0.5', '"seconds": NaN'),
        lambda content: content.replace('"width": 1', '"width": 2'),
        lambda content: content.replace('"measured": [', '"measured": [], "more": ['),
        lambda content: content.replace('"threads": "', '"threads": "1'),
    ],
)
def test_a_file_that_is_damaged_or_of_another_kind_is_ignored_and_replaced(tmp_path, damage):
    lanes = lanes_of(4)
    Widths(tmp_path, Clock(1.0, 2.0), plenty).width(lanes)
    (path,) = tmp_path.iterdir()
    content = path.read_text()
    path.write_text(damage(content))
    assert path.read_text() != content
    clock = Clock(1.0, 8.0)
    assert Widths(tmp_path, clock, plenty).width(lanes) == 1
    assert clock.widths == 2
    assert Widths(tmp_path, no_clock, plenty).width(lanes) == 1


def test_another_number_of_threads_is_another_machine(tmp_path):
    lanes = lanes_of(4)
    Widths(tmp_path, Clock(1.0, 2.0), plenty).width(lanes)
    torch.set_num_threads(2)
    try:
        clock = Clock(1.0, 2.0)
        Widths(tmp_path, clock, plenty).width(lanes)
    finally:
        torch.set_num_threads(1)
    assert clock.widths == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_packs_that_would_not_fit_are_not_tried_and_room_is_asked_for_again():
    free = {"bytes": 2**40}
    clock = Clock(1.0, 2.0, 2.0)
    widths = Widths(None, clock, lambda device: free["bytes"])
    lanes = lanes_of(6)
    assert widths.width(lanes[:4]) == 4
    measured = clock.widths
    free["bytes"] = 1
    with pytest.raises(LaneTooBigError) as caught:
        widths.width(lanes)
    assert str(caught.value).startswith(
        f"a trial must fit into memory alone, but this one needs {caught.value.bytes} bytes and 1 are free"
    )
    # Enough for one lane, not for the four that were measured.
    free["bytes"] = 2 * caught.value.bytes
    assert widths.width(lanes) == 1
    assert clock.widths == measured
    free["bytes"] = 2**40
    assert widths.width(lanes) == 6
    assert clock.widths == measured + 1


def test_a_lane_that_does_not_fit_names_the_bytes_that_it_needs():
    with pytest.raises(LaneTooBigError, match=r"this one needs at least (\d+) bytes and 1000 are free; make") as caught:
        Widths(None, Clock(1.0), lambda device: 1000).width(lanes_of(2))
    # Measuring ended with the first tensor that passed what is free.
    assert 1000 < caught.value.bytes < 2**16
    assert str(caught.value.bytes) in str(caught.value)


def full(after):
    """A clock that runs out of memory after so many calls."""
    calls = iter(range(after))
    message = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 1.00 GiB"

    def clock():
        if next(calls, None) is None:
            raise torch.OutOfMemoryError(message)
        return 0.0

    return clock


def test_a_pack_that_ran_out_of_memory_is_not_tried_again():
    widths = Widths(None, full(6), plenty)
    assert widths.width(lanes_of(8)) == 1
    assert widths.width(lanes_of(9)) == 1


def test_a_lane_that_ran_out_of_memory_alone_names_at_least_what_it_asked_for():
    with pytest.raises(LaneTooBigError) as caught:
        Widths(None, full(0), plenty).width(lanes_of(2))
    assert caught.value.bytes > 2.5 * 2**30
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


def test_other_errors_of_a_step_are_not_taken_for_a_lack_of_memory():
    def broken():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Widths(None, broken, plenty).width(lanes_of(2))
