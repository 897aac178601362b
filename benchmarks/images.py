"""Images: MNIST at 14x14, and at 28x28 (784 sites) with every embedding; digits of scikit-learn.

Needs the files of MNIST, in $BMTUNE_DATA or where `python -m bmtune data fetch mnist` puts them. The settings are fixed
here; test rows choose nothing.
"""

from time import process_time
from typing import Any

from benchmarks.table import Result
from bmtune.born import EMBEDDINGS
from bmtune.born import get_embedding
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.training import advance
from bmtune.training import make_problem
from bmtune.training import outcome
from bmtune.training import start


def trained(data: dict[str, Any], born: dict[str, Any], own: dict[str, Any]) -> tuple[object, ...]:
    """Validation loss before and after, accuracies, and processor seconds of a classification."""
    section = {"criterion": {"name": "brier"}, "batch_size": 64, "patience": 1000, **own}
    raw = {"recipe": "classification", "data": data, "born": born, "trainer": {"classification": section}}
    config = TrialConfig.model_validate(raw)
    problem = make_problem(config, DataHandler(config.data, get_embedding(config.born.embedding).data_interval))
    state, began = start(problem), process_time()
    while not state.status.ended:
        state, report = advance(problem, state)
    found = outcome(problem, state)
    assert found is not None, "every epoch was measured"
    return found.valid["loss"], found.valid["acc"], found.test["acc"], process_time() - began, report.epoch


def run() -> list[Result]:
    """Seven trainings."""
    columns = ("data", "embedding", "d", "D", "valid loss", "valid acc", "test acc", "cpu s", "epochs", "asked", "met")
    table = Result("images: classification with the Brier score", columns)

    def add(name: str, data: dict[str, Any], born: dict[str, Any], own: dict[str, Any], asked: float) -> None:
        found = trained(data, born, own)
        shape = (born["embedding"], born["physical_dim"], born["bond_dim"])
        table.rows.append((name, *shape, *found, asked, found[2] >= asked))

    digits = {"embedding": "legendre", "physical_dim": 3, "bond_dim": 10}
    add("digits", {"dataset": "digits"}, digits, {"max_epoch": 24, "batch_size": 32, "optimizer": {"lr": 1e-3}}, 0.95)
    small = {"embedding": "legendre", "physical_dim": 2, "bond_dim": 20}
    add("14x14", {"dataset": "mnist", "pool": 2}, small, {"max_epoch": 5, "optimizer": {"lr": 3e-4}}, 0.95)
    for embedding in EMBEDDINGS:
        born = {"embedding": embedding, "physical_dim": 3 if embedding == "fourier" else 2, "bond_dim": 10}
        # One setting for all, and one pass: black and white are one point to two Fourier functions, hence the third.
        own = {"max_epoch": 1, "optimizer": {"lr": 1e-4}}
        add("28x28", {"dataset": "mnist"}, {**born, "init_std": 1e-3}, own, 0.5)
    return [table]
