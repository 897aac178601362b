import pytest

from bmtune.config.space_model import RunSettings
from bmtune.errors import ResourceError
from bmtune.search.room import Machine
from bmtune.search.room import Machines
from bmtune.search.room import check_room
from bmtune.search.room import need_of_host
from bmtune.search.room import need_of_trial
from bmtune.search.room import room_most
from bmtune.search.room import room_now

HEAD = Machine("10.0.0.1", {"memory": 1e9, "node:10.0.0.1": 1.0})
TWO = Machines((Machine("a", {"CPU": 8.0, "GPU": 2.0}), Machine("b", {"CPU": 4.0, "GPU": 1.0})))
BIG = Machine("big", {"CPU": 8.0, "GPU": 8.0}, most=3)
SMALL = Machine("small", {"CPU": 4.0, "GPU": 1.0}, most=10)


def trial(cpus: int = 1, gpus: float = 0.0, resources: tuple[tuple[str, float], ...] = ()) -> dict[str, float]:
    return need_of_trial(RunSettings(cpus_per_trial=cpus, gpus_per_trial=gpus, resources=resources))


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1, 0.0, 12), (4, 0.0, 3), (1, 1.0, 3), (1, 2.0, 1), (1, 0.5, 6), (1, 0.3333, 9), (1, 0.125, 12)],
)
def test_room_is_counted_machine_by_machine(cpus: int, gpus: float, room: int) -> None:
    assert room_now(TWO, trial(cpus, gpus)) == room


def test_a_resource_of_a_users_own_bounds_the_room_like_any_other() -> None:
    machines = Machines((Machine("a", {"CPU": 8.0, "A100": 1.0}), Machine("b", {"CPU": 8.0})))
    assert room_now(machines, trial(resources=(("A100", 0.25),))) == 4
    assert room_now(machines, trial(cpus=4, resources=(("A100", 0.25),))) == 2


def test_trials_that_share_a_gpu_share_a_host_which_takes_what_they_take_together() -> None:
    run = RunSettings(gpus_per_trial=0.25, resources=(("A100", 0.25),))
    assert need_of_trial(run) == {"CPU": 1.0, "GPU": 0.25, "A100": 0.25}
    assert need_of_host(run) == {"CPU": 1.0, "GPU": 1.0, "A100": 1.0}
    assert need_of_host(RunSettings(resources=(("fast", 2.0),))) == {"CPU": 1.0, "fast": 2.0}


@pytest.mark.parametrize(
    ("machines", "need", "message"),
    [
        (
            TWO,
            trial(gpus=3),
            "asks for 3 GPUs and there are 3, at most 2 on one machine: there are a with",
        ),
        (TWO, trial(cpus=9), r"asks for 9 processors and there are 12, at most 8 .*\(command line: --cpus-per-trial\)"),
        (TWO, trial(resources=(("A100", 1.0),)), r"asks for 1 A100 and there are 0.*\(command line: --resource\)"),
        (TWO, trial(cpus=8, resources=()) | {"GPU": 2.0, "x": 1.0}, "1 x and there are 0"),
        (Machines((Machine("here", {"CPU": 2.0}),)), trial(gpus=1), r"asks for 1 GPUs and there are 0 \(command"),
        (
            Machines((Machine("a", {"CPU": 8.0}), Machine("b", {"GPU": 1.0}))),
            trial(gpus=1),
            "it asks for 1 processors and 1 GPUs and no machine has all of that",
        ),
        # What an autoscaler may add does not do either.
        (Machines((HEAD,), (SMALL,), grows=True), trial(gpus=2), "asks for 2 GPUs and there are 10, at most 1"),
        (Machines(()), trial(), "asks for 1 processors and there are 0"),
    ],
)
def test_what_no_machine_can_ever_hold_is_refused_with_what_there_is(
    machines: Machines, need: dict[str, float], message: str
) -> None:
    with pytest.raises(ResourceError, match=message):
        check_room(machines, need)


def test_where_there_is_room_nothing_is_said() -> None:
    assert check_room(TWO, trial(gpus=0.5)) is None


@pytest.mark.parametrize("kinds", [(BIG,), ()], ids=["kinds are known", "nobody tells"])
def test_what_an_autoscaler_could_meet_is_waited_for(kinds: tuple[Machine, ...]) -> None:
    # A head that has neither processors nor GPUs for trials.
    told = check_room(Machines((HEAD,), kinds, grows=True), trial(gpus=1))
    assert told is not None
    assert told.startswith("no machine of the cluster has room for a trial yet (1 processors and 1 GPUs); there is ")
    assert "10.0.0.1 with 0 processors and 0 GPUs" in told


@pytest.mark.parametrize(
    ("kinds", "most", "room"),
    [((BIG,), None, 24), ((BIG,), 2, 16), ((BIG, SMALL), 5, 26), ((SMALL,), 4, 4), ((), None, None)],
)
def test_the_room_of_a_grown_cluster(kinds: tuple[Machine, ...], most: int | None, room: int | None) -> None:
    assert room_most(Machines((HEAD,), kinds, grows=True, most=most), trial(gpus=1)) == room


def test_long_lists_of_machines_are_cut() -> None:
    many = Machines(tuple(Machine(f"m{number}", {"CPU": 1.0}) for number in range(20)))
    with pytest.raises(ResourceError, match=r"m7 with 1 processors and 0 GPUs and 12 more"):
        check_room(many, trial(cpus=2))
