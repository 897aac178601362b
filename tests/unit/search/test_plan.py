import pytest

from bmtune.config.space_model import RunSettings
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


def test_a_cluster_that_grows_gets_hosts_for_all_that_was_asked_for() -> None:
    run = RunSettings(pack=4, max_concurrent=30)
    assert plan_hosts(run, 256, 2).hosts == 2
    grown = plan_hosts(run, 256, 2, grows=True)
    assert (grown.hosts, grown.lanes, grown.concurrent) == (8, 4, 30)
