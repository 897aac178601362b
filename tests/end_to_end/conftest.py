from typing import Any

import pytest


@pytest.fixture(scope="session")
def backend(ray_cluster: Any, fake_training: type[Any]) -> Any:
    """What runs the fake training in Ray."""
    from bmtune.search.driver import Backend
    from bmtune.search.packs import OneByOne
    from bmtune.search.trainable import BornTrial

    class FakeTrial(BornTrial):
        make_training = fake_training
        packing = OneByOne()

    return Backend(FakeTrial, lambda config, cores: {"acc": 1.0})
