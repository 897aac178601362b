"""What determines pre-training: every field of a configuration in turn."""

from typing import Any
from typing import get_args

import pytest

from bmtune.config.data import DataConfig
from bmtune.config.paths import all_paths
from bmtune.config.paths import get
from bmtune.config.paths import resolve
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.config.shape import members
from bmtune.data import DataHandler
from bmtune.errors import ConfigError
from bmtune.search.pre_cache import key_of
from bmtune.training import pre_determined_by

ALWAYS = ("born.", "trainer.classification.")
BASE = {
    "recipe": "gan",
    "pre_seed": 3,
    "trainer.generative.pretrain": True,
    "trainer.adversarial.pretrain": True,
    "trainer.generative.criterion.name": "mixed",
    "trainer.ganstyle.critic.loss.name": "wgan-gp",
}
WITH_SAMPLES = {"trainer.classification.metrics": {"acc": 1, "loss": 1, "fid": 2}}
"""A metric whose value depends on how samples are drawn."""
SPECIAL: dict[str, list[Any]] = {
    "recipe": ["generative"],
    "data.dataset": ["iris"],
    "data.pool": [2],
    "data.label": ["y"],
    "data.root": ["elsewhere"],
    "best_epoch.objectives": [["acc"]],
    "best_epoch.constraints": [["loss <= 0.5"]],
}
"""Values where no general rule finds one."""
NEEDS: dict[str, dict[str, Any]] = {
    "data.pool": {"data.dataset": "mnist"},
    "data.label": {"data.dataset": "own.csv"},
}
"""What a path needs beside it."""


def config_with(values: dict[str, Any]) -> TrialConfig:
    return with_values(TrialConfig(), values)


def existing(path: str, base: TrialConfig) -> TrialConfig:
    """The base with the members of unions that have the path."""
    tags = {tag: names[0] for tag, names in resolve(path).required if get(base, tag) not in names}
    tags |= NEEDS.get(path, {})
    return with_values(base, tags) if tags else base


def literals(annotation: Any) -> list[Any]:
    found = [value for part in get_args(annotation) for value in literals(part)]
    return found or ([annotation] if isinstance(annotation, str | int | bool) else [])


def choices(path: str) -> list[Any]:
    """The values that an annotation lists."""
    *parents, leaf = path.split(".")
    owners: tuple[Any, ...] = (TrialConfig,)
    for part in parents:
        owners = tuple(m for o in owners if part in o.model_fields for m in members(o.model_fields[part].annotation))
    fields = [owner.model_fields[leaf] for owner in owners if leaf in owner.model_fields]
    return [*(value for field in fields for value in literals(field.annotation)), *(field.default for field in fields)]


def candidates(path: str, value: Any) -> list[Any]:
    numbers = [value + 1, value * 2, value / 2, value + 0.01] if isinstance(value, int | float) else []
    schedules = [{**dict(value), "acc": 7}, {**dict(value), "genloss": 2}] if path.endswith(".metrics") else []
    lists = [[entry / 2 for entry in value], [*value, *value]] if isinstance(value, tuple) and not schedules else []
    names = ["acc", "another"] if isinstance(value, str) else []
    general = [not value] if isinstance(value, bool) else [*choices(path), *numbers, *schedules, *lists, *names, 1, 0.5]
    return SPECIAL.get(path, general)


def changed(path: str, base: TrialConfig) -> TrialConfig:
    """The base with another value at the path."""
    for value in candidates(path, get(base, path)):
        try:
            config = with_values(base, {path: value})
        except (ConfigError, TypeError):
            continue
        if config != base:
            return config
    raise AssertionError(f"no other value was found for {path}")


def key(config: TrialConfig, data_hash: str = "content", device: str = "cpu") -> str:
    return key_of(pre_determined_by(config, data_hash, device))


@pytest.mark.parametrize("extra", [{}, WITH_SAMPLES], ids=["plain metrics", "sampled metrics"])
@pytest.mark.parametrize("path", all_paths())
def test_the_key_changes_with_a_field_if_and_only_if_pretraining_depends_on_it(
    path: str, extra: dict[str, Any]
) -> None:
    base = existing(path, config_with({**BASE, **extra}))
    enters = path.startswith(ALWAYS) or path == "pre_seed" or (bool(extra) and path.startswith("evaluation."))
    assert (key(changed(path, base)) != key(base)) == enters


def test_without_a_seed_of_its_own_the_trials_seed_enters() -> None:
    base = config_with({**BASE, "pre_seed": None})
    assert key(with_values(base, {"seed": 1})) != key(base)
    assert key(with_values(base, {"seed": 1})) == key(with_values(base, {"pre_seed": 1}))


def test_data_and_device_enter() -> None:
    base = config_with(BASE)
    assert len({key(base), key(base, "other content"), key(base, "content", "cuda")}) == 3


@pytest.mark.parametrize(
    "values", [{"dataset": "circles_small"}, {"split_seed": 1}, {"valid_fraction": 0.3}, {"test_fraction": 0.3}]
)
def test_the_configuration_of_the_data_enters_by_its_content(values: dict[str, Any]) -> None:
    plain = DataHandler(DataConfig(dataset="moons_small"), (-1.0, 1.0))
    other = DataHandler(DataConfig(**{"dataset": "moons_small", **values}), (-1.0, 1.0))
    wider = DataHandler(DataConfig(dataset="moons_small"), (0.0, 1.0))
    assert len({plain.content_hash, other.content_hash, wider.content_hash}) == 3
