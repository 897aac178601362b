import pytest

from bmtune.config.space_model import RunSettings
from bmtune.search.plan import MOST_LANES
from bmtune.search.plan import lanes_by_memory
from bmtune.search.plan import plan_hosts


@pytest.mark.parametrize(
    ("settings", "trials", "room", "hosts", "lanes", "concurrent"),
    [
        # A quarter of the trials at once, at least ten, at most 32 a host.
        ({}, 24, 2, 2, 5, 10),
        ({}, 256, 2, 2, 32, 64),
        ({}, 1000, 2, 2, 32, 64),
        ({}, 256, 1, 1, 32, 32),
        # Never more hosts or lanes than trials.
        ({}, 3, 2, 2, 2, 3),
        ({}, 3, 8, 3, 1, 3),
        ({"pack": 4}, 256, 2, 2, 4, 8),
        ({"max_concurrent": 3}, 256, 2, 2, 2, 3),
        ({"max_concurrent": 1}, 256, 2, 1, 1, 1),
        ({"pack": 4, "max_concurrent": 6}, 256, 2, 2, 3, 6),
        # Eighths of a GPU: eight trials on each.
        ({"gpus_per_trial": 0.125}, 256, 4, 4, 8, 32),
        ({"gpus_per_trial": 0.3333}, 256, 1, 1, 3, 3),
        ({"gpus_per_trial": 1.0}, 256, 2, 2, 32, 64),
    ],
)
def test_trials_are_spread_over_hosts(
    settings: dict[str, object], trials: int, room: int, hosts: int, lanes: int, concurrent: int
) -> None:
    plan = plan_hosts(RunSettings.model_validate(settings), trials, room)
    assert (plan.hosts, plan.lanes, plan.concurrent) == (hosts, lanes, concurrent)


def test_a_host_has_the_processors_and_whole_gpus_of_what_it_trains() -> None:
    plan = plan_hosts(RunSettings(cpus_per_trial=4, gpus_per_trial=0.125), 10, 1)
    assert (plan.cpus, plan.gpus) == (4, 1)


@pytest.mark.parametrize(
    ("settings", "room", "most", "hosts", "lanes", "concurrent"),
    [
        # No more than there is room for are trained now; hosts that there is no room for yet make the cluster grow.
        ({"pack": 4, "max_concurrent": 30}, 2, None, 8, 4, 8),
        ({"pack": 4, "max_concurrent": 30}, 8, None, 8, 4, 30),
        ({"gpus_per_trial": 0.25}, 0, 8, 8, 4, 4),
        ({"gpus_per_trial": 0.25}, 4, 8, 8, 4, 16),
        ({"gpus_per_trial": 0.25}, 8, 8, 8, 4, 32),
        # 64 of 256 trials at once: two whole GPUs take them, where nobody knows how many there may be.
        ({"gpus_per_trial": 1.0}, 0, None, 2, 32, 32),
        ({"gpus_per_trial": 1.0}, 0, 16, 16, 32, 32),
        ({"gpus_per_trial": 1.0}, 16, 16, 16, 4, 64),
    ],
)
def test_a_cluster_that_grows_is_asked_for_hosts_that_there_is_no_room_for_yet(
    settings: dict[str, object], room: int, most: int | None, hosts: int, lanes: int, concurrent: int
) -> None:
    plan = plan_hosts(RunSettings.model_validate(settings), 256, room, most)
    assert (plan.hosts, plan.lanes, plan.concurrent) == (hosts, lanes, concurrent)


def test_a_host_takes_what_else_its_trials_take_together() -> None:
    run = RunSettings(gpus_per_trial=0.25, resources=(("A100", 0.25),))
    assert plan_hosts(run, 10, 1).resources == (("A100", 1.0),)


@pytest.mark.parametrize(
    ("memory", "lanes"),
    [([None, None], [8, 8]), ([80, 16], [13, 3]), ([80, None, 16], [13, 8, 3]), ([400, 1], [16, 1])],
)
def test_lanes_follow_the_memory_of_each_device(memory: list[int | None], lanes: list[int]) -> None:
    assert lanes_by_memory(plan_hosts(RunSettings(gpus_per_trial=1.0), 64, 2), memory) == lanes


def test_a_host_has_at_most_as_many_lanes_as_any() -> None:
    assert lanes_by_memory(plan_hosts(RunSettings(gpus_per_trial=1.0), 256, 2), [80, 16]) == [MOST_LANES, 11]


def test_who_says_how_many_trials_share_a_gpu_is_taken_at_their_word() -> None:
    assert lanes_by_memory(plan_hosts(RunSettings(gpus_per_trial=0.25), 256, 2), [80, 16]) == [4, 4]
