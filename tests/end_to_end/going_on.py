"""A search of the fake training that is to be killed: `python going_on.py FOLDER [ADDRESS]` runs `FOLDER/space.yaml`.

It has a process and a Ray of its own. The run is `FOLDER/run`; with an address it is copied there again and again.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import ray

from bmtune.reports.lines import LineProgress
from bmtune.search import copying
from bmtune.search.driver import Backend
from bmtune.search.driver import run_search
from bmtune.search.packs import OneByOne
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve
from bmtune.search.trainable import BornTrial


def shared() -> ModuleType:
    """What tests share; the processes of Ray cannot import it, so they get it by value."""
    spec = importlib.util.spec_from_file_location("shared", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["shared"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ray.cloudpickle.register_pickle_by_value(module)
    return module


class FakeTrial(BornTrial):
    make_training = shared().FakeTraining
    packing = OneByOne()


def main(folder: Path, copy_at: str | None = None) -> None:
    """Runs the search; the environment in which Ray is private was set by the tests."""
    copying.EVERY_S = 0.1
    request = SearchRequest("classification", space=folder / "space.yaml", storage=folder, name="run", copy_at=copy_at)
    with LineProgress(print) as listener:
        run_search(resolve(request), listener, backend=Backend(FakeTrial, lambda config, cores: {"acc": 1.0}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
