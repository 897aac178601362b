"""What a search makes of machines that come and go, with a clock and a cluster of the test's own."""

import pytest

from bmtune.config.space_model import RunSettings
from bmtune.errors import ResourceError
from bmtune.search.outlook import EVERY_S
from bmtune.search.outlook import Outlook
from bmtune.search.room import Machine
from bmtune.search.room import Machines

FOUR = Machine("four", {"CPU": 4.0, "GPU": 4.0})
HEAD = Machine("head", {})


class Changing:
    """A cluster and a clock that the test sets."""

    def __init__(self, *here: Machine, **others: object) -> None:
        self.set(*here, **others)
        self.now = 0.0
        self.looks = 0

    def set(self, *here: Machine, **others: object) -> None:
        self.machines = Machines(here, **others)  # type: ignore[arg-type]

    def look(self) -> Machines:
        self.looks += 1
        return self.machines

    def outlook(self, run: RunSettings, trials: int = 256) -> Outlook:
        return Outlook(run, trials, self.look, lambda: self.now)


def test_machines_that_join_are_used_at_the_next_look_and_it_is_looked_only_so_often() -> None:
    cluster = Changing(FOUR)
    outlook = cluster.outlook(RunSettings(gpus_per_trial=0.25))
    assert outlook.concurrent() == 16
    cluster.set(FOUR, FOUR)
    assert (outlook.concurrent(), cluster.looks) == (16, 1)
    cluster.now = EVERY_S
    assert (outlook.concurrent(), cluster.looks) == (32, 2)
    assert outlook.seen.plan.hosts == 8


def test_a_machine_that_leaves_is_not_counted_and_its_id_is_told() -> None:
    cluster = Changing(FOUR, FOUR)
    outlook = cluster.outlook(RunSettings(gpus_per_trial=0.25))
    cluster.set(FOUR, leaving=frozenset({"an id"}))
    cluster.now = EVERY_S
    seen = outlook.look_again()
    assert (seen.plan.concurrent, seen.leaving, seen.waiting) == (16, {"an id"}, None)


def test_a_cluster_without_any_room_left_is_waited_for() -> None:
    cluster = Changing(HEAD, FOUR)
    outlook = cluster.outlook(RunSettings(gpus_per_trial=0.25))
    cluster.set(HEAD)
    cluster.now = EVERY_S
    seen = outlook.look_again()
    assert seen.waiting == "no machine of the cluster has room for a trial: the search waits for one"
    assert (seen.plan.hosts, seen.plan.concurrent) == (1, 4)


def test_a_head_without_processors_is_no_mistake_where_the_cluster_grows() -> None:
    cluster = Changing(HEAD, kinds=(Machine("four", FOUR.resources, 3),), grows=True)
    outlook = cluster.outlook(RunSettings(gpus_per_trial=0.25))
    assert outlook.seen.waiting is not None
    assert outlook.seen.plan.hosts == 12
    with pytest.raises(ResourceError, match="there are 0"):
        Changing(HEAD).outlook(RunSettings(gpus_per_trial=0.25))


def test_processes_of_one_trial_are_counted_too() -> None:
    cluster = Changing(FOUR)
    outlook = cluster.outlook(RunSettings(pack=1, gpus_per_trial=0.5))
    # Four processors are fewer than eight halves.
    assert outlook.concurrent() == 4
    cluster.set(FOUR, FOUR)
    cluster.now = EVERY_S
    assert outlook.concurrent() == 8
    assert cluster.outlook(RunSettings(pack=1, max_concurrent=3)).concurrent() == 3


@pytest.mark.parametrize(
    ("here", "kinds", "gpus"),
    [((FOUR,), (), 1.0), ((HEAD,), (Machine("g", FOUR.resources, 2),), 1.0), ((Machine("c", {"CPU": 2.0}),), (), 0.0)],
)
def test_auto_takes_the_gpus_that_there_are(here: tuple[Machine, ...], kinds: tuple[Machine, ...], gpus: float) -> None:
    cluster = Changing(*here, kinds=kinds, grows=bool(kinds))
    assert cluster.outlook(RunSettings(gpus_per_trial="auto")).run.gpus_per_trial == gpus
