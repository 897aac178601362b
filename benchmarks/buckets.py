"""An epoch of 16 trials with small bond dimensions: as one pack, padded to the largest, and as a pack for each bucket.

Buckets are those that padding at most doubles the work of: powers of the square root of 2 all the way down. An epoch
is whole, with the drawing of batches, stacking, validation and what follows it. Ratios above 1 speak for one pack.
"""

from itertools import cycle
from itertools import islice
from math import log2

from benchmarks.table import Result
from benchmarks.timing import paired
from bmtune.born import get_embedding
from bmtune.born import start_cores
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing import Lane
from bmtune.packing import advance_lanes
from bmtune.training import make_problem
from bmtune.training import start_at
from bmtune.training.settle import main_phase

LANES = 16
SIZES = (range(2, 9), range(2, 12), (2, 8), (8,))
"""Bond dimensions that take turns; with a single one there is nothing to be padded."""
RUNS = {
    ("classification", "moons_4k", 10, 256): 15,
    ("classification", "digits", 3, 64): 3,
    ("gan", "moons_4k", 10, 256): 5,
    ("generative", "moons_4k", 10, 256): 7,
    ("adversarial", "moons_4k", 10, 256): 3,
}
"""Recipe, data set, d and B: 2 sites, and 64 in digits."""


def lanes(recipe: str, dataset: str, physical_dim: int, batch_size: int, sizes: tuple[int, ...]) -> list[Lane]:
    """Trials at the beginning of their main phase; what they measure is the default."""
    found, data = [], None
    for seed, bond_dim in enumerate(islice(cycle(sizes), LANES)):
        raw = {
            "recipe": recipe,
            "seed": seed,
            "data": {"dataset": dataset},
            "born": {"bond_dim": bond_dim, "physical_dim": physical_dim},
            "trainer": {
                "classification": {"batch_size": batch_size},
                "generative": {"batch_size": batch_size},
                "adversarial": {"batch_size": batch_size},
                "ganstyle": {"sampling": {"num_per_class": batch_size}, "critic": {"pretrain_epochs": 0}},
            },
        }
        config = TrialConfig.model_validate(raw)
        data = data or DataHandler(config.data, get_embedding(config.born.embedding).data_interval)
        problem = make_problem(config, data)
        cores = start_cores(problem.chain, config.born, seed)
        # What pre-training would have reached, so that no epoch is followed by retraining.
        state = start_at(problem, main_phase(problem), cores, reached_before={"acc": 0.0, "loss": 1e9})
        found.append(Lane(problem, state))
    return found


def buckets(trials: list[Lane]) -> list[list[Lane]]:
    """The trials by the powers of the square root of 2 that their bond dimensions lie between."""
    found: dict[int, list[Lane]] = {}
    for lane in trials:
        found.setdefault(int(2 * log2(lane.problem.config.born.bond_dim)), []).append(lane)
    return list(found.values())


def run() -> list[Result]:
    """Every recipe with mixed and with equal bond dimensions."""
    columns = ("recipe", "data", "d", "B", "bond dimensions", "buckets", "one pack ms", "in buckets ms", "ratio")
    table = Result(f"an epoch of {LANES} small trials as one pack and as a pack for each bucket", columns)
    for setting, runs in RUNS.items():
        for sizes in SIZES:
            trials = lanes(*setting, tuple(sizes))
            apart = buckets(trials)
            together, parted = paired(
                lambda trials=trials: advance_lanes(trials),
                lambda apart=apart: [advance_lanes(pack) for pack in apart],
                runs,
                warmup=1,
            )
            text = ", ".join(map(str, sizes)) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"
            table.rows.append((*setting, text, len(apart), together, parted, parted / together))
    return [table]
