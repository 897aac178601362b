import pytest

from bmtune.config.lanes import prevents_sharing
from bmtune.config.lanes import sharing_hint
from bmtune.config.root import RECIPES
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_rules import pinned


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_default_spaces_leave_packs_large(recipe):
    space = load_space(default_space_path(recipe))
    assert prevents_sharing(space.base, space.parameters) == ()
    assert sharing_hint(space.base, space.parameters) is None


def with_more_batch_sizes(tmp_path):
    text = default_space_path("adversarial").read_text()
    assert text.count("choices: [16, 64]") == 1
    path = tmp_path / "more.yaml"
    path.write_text(text.replace("choices: [16, 64]", "choices: [16, 32, 64]"))
    return load_space(path)


def test_the_hint_is_one_sentence_that_names_the_paths_and_the_way_out(tmp_path):
    space = with_more_batch_sizes(tmp_path)
    assert sharing_hint(space.base, space.parameters) == (
        "packs are shared only by trials with equal trainer.adversarial.batch_size, trainer.adversarial.method.name, "
        "so that packs stay small; fix them with --set, or search fewer values"
    )


def test_one_path_fixed_leaves_few_enough_values_for_no_hint(tmp_path):
    space = pinned(with_more_batch_sizes(tmp_path), {"trainer.adversarial.batch_size": 64}, "command line")
    assert sharing_hint(space.base, space.parameters) is None


SPACE = """
trainer: {trainer}
objective: {{metric: loss}}
base: {{data: {{dataset: moons_small}}}}
parameters:
  born.bond_dim: {{type: int, low: 2, high: 12}}
  {parameter}
"""


@pytest.mark.parametrize(
    ("trainer", "parameter", "named"),
    [
        ("gan", "trainer.ganstyle.r_real: {type: float, low: 0.5, high: 2.0}", True),
        ("gan", "trainer.ganstyle.r_real: {type: float, low: 0.5, high: 2.0, step: 0.5}", False),
        ("gan", "trainer.ganstyle.r_real: {type: float, low: 0.5, high: 2.0, step: 0.25}", True),
        ("gan", "trainer.classification.batch_size: {type: int, low: 8, high: 64}", True),
        ("gan", "trainer.ganstyle.retrain.batch_size: {type: int, low: 8, high: 64}", True),
        ("gan", "trainer.ganstyle.retrain.optimizer.lr: {type: float, low: 0.001, high: 0.1}", False),
        ("gan", "trainer.ganstyle.critic.optimizer.weight_decay: {type: float, low: 0.0, high: 0.1}", False),
        ("gan", "evaluation.num_bins: {type: int, low: 100, high: 300}", True),
        # The recipe does not pass through these phases.
        ("classification", "trainer.generative.batch_size: {type: int, low: 8, high: 64}", False),
        ("generative", "trainer.classification.batch_size: {type: int, low: 8, high: 64}", False),
        ("classification", "trainer.classification.optimizer.betas: {type: categorical, choices: CHOICES}", False),
    ],
)
def test_only_values_that_a_phase_must_share_are_named(tmp_path, trainer, parameter, named):
    path = tmp_path / "space.yaml"
    choices = "[[0.9, 0.999], [0.1, 0.2], [0.2, 0.3], [0.3, 0.4], [0.4, 0.5]]"
    path.write_text(SPACE.format(trainer=trainer, parameter=parameter.replace("CHOICES", choices)))
    space = load_space(path)
    expected = (parameter.split(":")[0],) if named else ()
    assert prevents_sharing(space.base, space.parameters) == expected


def test_the_settings_of_pre_training_matter_where_some_trials_pretrain(tmp_path):
    path = tmp_path / "space.yaml"
    batch_size = "trainer.classification.batch_size: {type: int, low: 8, high: 64}"
    searched = f"{batch_size}\n  trainer.generative.pretrain: {{type: categorical, choices: [false, true]}}"
    path.write_text(SPACE.format(trainer="generative", parameter=searched))
    space = load_space(path)
    assert prevents_sharing(space.base, space.parameters) == ("trainer.classification.batch_size",)
