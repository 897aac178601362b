import pytest

from bmtune.config.paths import all_paths
from bmtune.config.paths import get
from bmtune.config.paths import resolve
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.errors import ConfigError

LOSS = "trainer.ganstyle.critic.loss"


def test_every_path_leads_to_a_place() -> None:
    assert [resolve(path).path for path in all_paths()] == list(all_paths())
    assert f"{LOSS}.gradient_penalty" in all_paths()


def test_a_path_into_one_member_of_a_union_says_what_it_needs() -> None:
    assert resolve(f"{LOSS}.gradient_penalty").required == ((f"{LOSS}.name", ("wgan-gp",)),)
    assert resolve(f"{LOSS}.name").is_tag
    assert resolve("born.bond_dim").required == ()


def test_values_are_set_together_and_the_original_stays() -> None:
    config = TrialConfig()
    changed = with_values(config, {"born.bond_dim": 9, "trainer.ganstyle.tolerance": 0.5})
    assert (changed.born.bond_dim, changed.trainer.ganstyle.tolerance) == (9, 0.5)
    assert config == TrialConfig()


def test_no_values_change_nothing() -> None:
    assert with_values(TrialConfig(), {}) == TrialConfig()


def test_another_member_of_a_union_drops_the_fields_of_the_old_one() -> None:
    wasserstein = with_values(TrialConfig(), {f"{LOSS}.gradient_penalty": 3.0, f"{LOSS}.name": "wgan-gp"})
    assert get(wasserstein, f"{LOSS}.gradient_penalty") == 3.0
    binary = with_values(wasserstein, {f"{LOSS}.name": "bce"})
    assert binary == TrialConfig()
    with pytest.raises(KeyError):
        get(binary, f"{LOSS}.gradient_penalty")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"born.bonddim": 1}, "did you mean 'born.bond_dim'?"),
        ({"bond_dim": 1}, "did you mean 'born.bond_dim'?"),
        ({"born": 1}, "names a section"),
        ({"born.bond_dim.low": 1}, "goes on behind the value"),
        ({"born.bond_dim": 0}, "the value must be greater than or equal to 1, but got 0 (command line: born.bond_dim)"),
        ({"born.bond_dim": float("nan")}, "finite number"),
        ({f"{LOSS}.gradient_penalty": 2.0}, f"exists only where {LOSS}.name is wgan-gp, but got bce"),
        ({f"{LOSS}.name": "wgan"}, "must be one of bce, wgan-gp, but got 'wgan'"),
        ({"data.dataset": "moon_4k"}, "did you mean 'moons_4k'?"),
        ({"trainer.ganstyle.stop_crit": "genloss"}, "add it to metrics"),
        ({"data.valid_fraction": 0.9}, "no rows are left to train on"),
        ({"": 1}, "a path must name a hyperparameter"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_values(TrialConfig(), values)
    assert message in str(caught.value)
    assert "(command line" in str(caught.value)
    assert "\n" not in str(caught.value)
