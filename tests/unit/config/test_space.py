from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bmtune.config.root import RECIPES
from bmtune.config.space import SearchSpace
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_rules import pinned
from bmtune.config.yaml_text import dump
from bmtune.errors import ConfigError

LOSS = "trainer.ganstyle.critic.loss"
GAN = f"""
trainer: gan
objective: {{metric: fid}}
budget: {{trials: 4, max_epochs: 4, eta: 3, grace: 2}}
base:
  born: {{bond_dim: 6}}
parameters:
  {LOSS}.gradient_penalty: {{type: float, low: 0.1, high: 20, log: true, when: {{{LOSS}.name: wgan-gp}}}}
  {LOSS}.name: {{type: categorical, choices: [bce, wgan-gp]}}
  born.bond_dim: {{type: int, low: 4, high: 12}}
  trainer.ganstyle.tolerance: {{type: float, low: 0.01, high: 0.1}}
"""
MakeSpace = Callable[..., SearchSpace]


@pytest.mark.parametrize("trainer", RECIPES)
def test_the_spaces_that_come_with_bmtune_load_and_survive_a_round_trip(trainer: str, tmp_path: Path) -> None:
    space = load_space(default_space_path(trainer))
    path = tmp_path / "search.yaml"
    path.write_text(dump(space.to_mapping()))
    assert load_space(path) == replace(space, source=str(path))


def test_a_parent_comes_before_the_parameter_that_depends_on_it(make_space: MakeSpace) -> None:
    paths = [path for path, _ in make_space(text=GAN).parameters]
    assert paths.index(f"{LOSS}.name") < paths.index(f"{LOSS}.gradient_penalty")


def test_the_main_phase_watches_the_objective_over_the_whole_budget(make_space: MakeSpace) -> None:
    main = make_space(("metric: fid", "metric: outliers"), text=GAN).base.trainer.ganstyle
    assert (main.stop_crit, main.max_epoch, dict(main.metrics)["outliers"]) == ("outliers", 4, 1)


def test_base_params_leave_inactive_parameters_out(make_space: MakeSpace) -> None:
    base = make_space(text=GAN).base_params()
    assert base == {f"{LOSS}.name": "bce", "born.bond_dim": 6, "trainer.ganstyle.tolerance": 0.02}


def test_a_trial_is_configured_with_its_values(make_space: MakeSpace) -> None:
    space = make_space(text=GAN)
    config = space.configure({f"{LOSS}.name": "wgan-gp", f"{LOSS}.gradient_penalty": 0.5, "born.bond_dim": 12})
    assert config.trainer.ganstyle.critic.loss.model_dump() == {"name": "wgan-gp", "gradient_penalty": 0.5}
    assert config.born.bond_dim == 12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low: 4, high: 12", "low: 12, high: 4", "low < high must hold, but got low=12, high=4"),
        ("low: 4, high: 12", "low: 6, high: 6", "low=high=6"),
        ("low: 4, high: 12", "lwo: 4, high: 12", "did you mean 'low'?"),
        ("low: 4, high: 12", "low: 7, high: 12", "born.bond_dim is 6 in base"),
        ("low: 4, high: 12", "low: 5, high: 12, step: 2", "born.bond_dim is 6 in base"),
        ("low: 4, high: 12", "low: 4, high: 12, step: 9", "step <= high - low"),
        ("low: 4, high: 12", "low: 0, high: 12", "born.bond_dim=0 is not"),
        ("low: 4, high: 12", "low: 4, high: 5000", "born.bond_dim=5000 is not"),
        ("low: 4, high: 12", "low: 0, high: 12, log: true", "low >= 1 must hold"),
        ("type: int, low: 4, high: 12", "type: float, low: 4, high: 12", "fractional part"),
        ("type: int", "type: nit", "did you mean 'int'?"),
        ("type: int, low", "low", "type must be one of"),
        ("low: 0.1, high: 20", "low: 0, high: 20", "low > 0 must hold for a range with log: true, but got low=0.0"),
        ("low: 0.01, high: 0.1", "low: 0.01, high: .nan", "finite number"),
        ("high: 20, log: true", "high: 20, log: true, step: 0.1", "either log or step"),
        ("[bce, wgan-gp]", "[bce]", "at least two values"),
        ("[bce, wgan-gp]", "[bce, bce, wgan-gp]", "'bce' twice"),
        ("[bce, wgan-gp]", "[bce, wgan-gp, hinge]", "hinge"),
        (f"{{{LOSS}.name: wgan-gp}}", f"{{{LOSS}.name: wgan}}", "one of bce, wgan-gp"),
        (f"{{{LOSS}.name: wgan-gp}}", "{trainer.ganstyle.critic.head: aware}", "is not searched"),
        (f"{{{LOSS}.name: wgan-gp}}", "{trainer.ganstyle.critic.had: aware}", "did you mean"),
        (f", when: {{{LOSS}.name: wgan-gp}}", "", f"add when: {{{LOSS}.name: wgan-gp}}"),
        ("[bce, wgan-gp]", f"[bce, wgan-gp], when: {{{LOSS}.gradient_penalty: 1.0}}", "circle"),
        ("born.bond_dim: {type", "born.bonddim: {type", "did you mean 'born.bond_dim'?"),
        ("born.bond_dim: {type", "seed: {type", "--seed"),
        ("born.bond_dim: {type", "data.split_seed: {type", "cannot be compared"),
        ("born.bond_dim: {type", "trainer.ganstyle.max_epoch: {type", "budget.max_epochs"),
        ("bond_dim: 6", "bonddim: 6", "base.born.bonddim"),
        ("bond_dim: 6", "bond_dim: six", "valid integer"),
        ("trials: 4", "trails: 4", "did you mean 'trials'?"),
        ("trials: 4", "trials: 0", "greater than or equal to 1, but got 0"),
        ("grace: 2", "grace: 5", "grace <= max_epochs"),
        ("eta: 3", "eta: 1", "budget.eta"),
        ("metric: fid", "metric: fdi", "a metric must be one of"),
        ("trainer: gan", "trainer: gna", "one of classification, gan"),
        ("trainer: gan", "trainer: gan\nversion: 3", "version 3"),
        ("trainer: gan", "trainer: gan\ntrainer: gan", "'trainer' is given twice"),
        ("trainer: gan\n", "trainer: gan\nbase: {recipe: classification}\n", "given twice"),
        ("born: {bond_dim: 6}", "recipe: classification", "base.recipe"),
    ],
)
def test_a_mistake_fails_at_load_with_file_and_key(make_space: MakeSpace, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_space((old, new), text=GAN)
    assert message in str(caught.value)
    assert "space.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "[1]",
        "3",
        "a: [",
        "x: !!python/object/apply:os.system [ls]",
        "? [a]\n: 2",
        "a: 1\na: 2",
        "\x00",
    ],
)
def test_a_file_that_is_no_space_is_one_clean_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"space\.yaml"):
        load_space(path)


def test_an_unreadable_file_is_one_clean_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_space(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="directory"):
        load_space(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_space(binary)


def test_numbers_without_a_dot_are_numbers(make_space: MakeSpace) -> None:
    space = make_space(("low: 0.01, high: 0.1", "low: 1e-3, high: 1e-1"), text=GAN)
    assert dict(space.parameters)["trainer.ganstyle.tolerance"].probes()[0] == 1e-3


def test_an_unknown_trainer_has_no_default_space() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gan'"):
        default_space_path("gna")


def test_a_fixed_parameter_is_no_longer_searched(make_space: MakeSpace) -> None:
    space = pinned(make_space(text=GAN), {"born.bond_dim": 9}, "command line")
    assert "born.bond_dim" not in dict(space.parameters)
    assert space.base.born.bond_dim == 9


def test_fixing_a_parent_decides_whether_its_children_exist(make_space: MakeSpace) -> None:
    space = make_space(text=GAN)
    assert f"{LOSS}.gradient_penalty" not in dict(pinned(space, {f"{LOSS}.name": "bce"}, "x").parameters)
    kept = dict(pinned(space, {f"{LOSS}.name": "wgan-gp"}, "x").parameters)[f"{LOSS}.gradient_penalty"]
    assert kept.when == ()


def test_fixing_everything_leaves_nothing_to_search(make_space: MakeSpace) -> None:
    fixed = {f"{LOSS}.name": "bce", "born.bond_dim": 9, "trainer.ganstyle.tolerance": 0.05}
    with pytest.raises(ConfigError, match="leave none"):
        pinned(make_space(text=GAN), fixed, "command line")
