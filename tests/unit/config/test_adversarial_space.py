import pytest

from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.errors import ConfigError


def test_the_space_begins_with_its_base_and_watches_accuracy_under_attack():
    space = load_space(default_space_path("adversarial"))
    config = space.configure(space.base_params())
    assert config == space.base
    assert config.trainer.adversarial.stop_crit == "rob"
    assert "trainer.adversarial.epsilon" not in dict(space.parameters)


def test_each_method_brings_its_own_weight():
    space = load_space(default_space_path("adversarial"))
    shared = {name: value for name, value in space.base_params().items() if ".method." not in name}
    method = "trainer.adversarial.method"
    trades = space.configure({**shared, f"{method}.name": "trades", f"{method}.beta": 2.0})
    assert trades.trainer.adversarial.method.beta == 2.0
    pgd_at = space.configure({**shared, f"{method}.name": "pgd-at", f"{method}.clean_weight": 0.4})
    assert pgd_at.trainer.adversarial.method.clean_weight == 0.4
    with pytest.raises(ConfigError, match="beta"):
        space.configure({**shared, f"{method}.name": "pgd-at", f"{method}.beta": 2.0})
