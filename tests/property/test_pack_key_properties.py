"""Which trials are trained together: a list written by hand against the marks in the configuration."""

import math
from dataclasses import replace
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmtune.born import get_embedding
from bmtune.config.lanes import PHASES
from bmtune.config.lanes import fixed_in
from bmtune.config.paths import all_paths
from bmtune.config.paths import get
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing import pack_key
from bmtune.packing.key import SMALL
from bmtune.packing.key import bucket
from bmtune.training import TrialState
from bmtune.training import make_problem

pytestmark = pytest.mark.slow

PENALIZED = {"trainer.ganstyle.critic.loss.name": "wgan-gp", "trainer.generative.criterion.name": "mixed"}
BASES = (PENALIZED, {"trainer.adversarial.method.name": "trades"})
"""Together they have every path."""

RULES = ("max_epoch", "patience", "save")
RATES = ("optimizer.lr", "optimizer.lr_decay", "optimizer.betas")
OWN = {
    "trainer.classification": (*RULES, *RATES),
    "trainer.ganstyle": (
        *RULES,
        *RATES,
        *(f"critic.{rate}" for rate in RATES),
        "critic.pretrain_epochs",
        "critic.loss.gradient_penalty",
        "tolerance",
        "retrain_crit",
        "retrain",
    ),
    "trainer.ganstyle.retrain": (*RULES, *RATES),
    "trainer.generative": (*RULES, *RATES, "pretrain", "criterion.alpha", "norm_control.target"),
    "trainer.adversarial": (
        *RULES,
        *RATES,
        "pretrain",
        "epsilon",
        "curriculum",
        "method.clean_weight",
        "method.beta",
    ),
    "born": ("physical_dim", "bond_dim", "init", "init_std"),
}
"""What may differ in a pack, by section; a section of its own may differ as a whole."""

ZERO_APART = ("optimizer.weight_decay", "critic.optimizer.weight_decay", "norm_control.penalty")
SECTIONS = {
    "pre": "trainer.classification",
    "critic": "trainer.ganstyle",
    "gan": "trainer.ganstyle",
    "re": "trainer.ganstyle.retrain",
    "gen": "trainer.generative",
    "adv": "trainer.adversarial",
}
OTHER = {
    "data.dataset": "circles_4k",
    "data.label": None,
    "data.pool": None,
    "data.root": "/data",
    "born.embedding": "fourier",
    "born.init": "normal",
    "born.dtype": "complex64",
    "recipe": "classification",
    "pre_seed": 7,
    "name": "another",
    "metrics": {"acc": 1, "loss": 1, "fid": 1, "genloss": 1, "rob": 1, "outliers": 1},
    "stop_crit": "acc",
    "retrain_crit": "loss",
    "optimizer.name": "sgd",
    "critic.loss.name": "bce",
    "critic.head": "agnostic",
    "criterion.name": "brier",
    "generative.criterion.name": "nll",
    "method.name": None,
    "attack.name": "fgm",
    "attack.norm": "linf",
    "norm_control.target": "start",
    "width_multipliers": (3.0,),
    "evaluation.strengths": (0.15,),
    "betas": (0.3, 0.4),
    "curriculum.start": 0.25,
    "best_epoch.objectives": ("acc",),
    "best_epoch.constraints": ("loss <= 0.5",),
}
"""Another valid value where none can be worked out; None where there is none for these bases."""


def other_value(path, value):
    """A valid value that differs from the base's, or None."""
    ends = sorted((end for end in OTHER if path == end or path.endswith(f".{end}")), key=len)
    if ends:
        return OTHER[ends[-1]]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value * 0.9 + 0.02


@lru_cache
def problem():
    config = TrialConfig.model_validate({"data": {"dataset": "moons_small"}})
    return make_problem(config, DataHandler(config.data, get_embedding(config.born.embedding).data_interval))


def key(config, phase):
    return pack_key(replace(problem(), config=config), TrialState(phase, ()))


def may_differ(phase, path):
    """By the list: whether trials with different values at a path share packs of a phase."""
    # The size of a dimension decides its bucket; one more than the base's 6 and 10 stays within it.
    for section in (SECTIONS[phase], "born"):
        if path.startswith(f"{section}."):
            rest = path.removeprefix(f"{section}.")
            return any(rest == own or rest.startswith(f"{own}.") for own in OWN[section] + ZERO_APART)
    return path == "data.split_seed" or not path.startswith(("data.", "evaluation."))


def pairs():
    """Every path once, with the base and the other value."""
    seen = set()
    for values in BASES:
        base = with_values(TrialConfig(), values | NOT_ZERO)
        for path in all_paths():
            try:
                value = get(base, path)
            except KeyError:
                continue
            changed = other_value(path, value)
            if path not in seen and changed is not None:
                seen.add(path)
                yield pytest.param(base, path, changed, id=path)


NOT_ZERO = {path: 0.5 for path in all_paths() if path.endswith(("weight_decay", "norm_control.penalty"))}


@pytest.mark.parametrize(("base", "path", "changed"), list(pairs()))
def test_keys_are_equal_exactly_where_only_values_differ_that_may(base, path, changed):
    config = with_values(base, {path: changed})
    assert get(config, path) != get(base, path)
    for phase in SECTIONS:
        shares = key(config, phase) == key(base, phase)
        assert shares == may_differ(phase, path), phase
        assert shares != fixed_in(phase, path), phase


def test_every_path_is_tried_but_those_of_other_data_sets():
    tried = {param.id for param in pairs()}
    assert set(all_paths()) - tried == {"data.label", "data.pool", "trainer.adversarial.method.name"}


@pytest.mark.parametrize("path", NOT_ZERO)
def test_a_trial_with_zero_of_what_needs_another_program_is_kept_apart(path):
    base = TrialConfig()
    some, more = (with_values(base, {path: value}) for value in (0.1, 0.2))
    concerned = 0
    for phase, section in SECTIONS.items():
        rest = path.removeprefix(f"{section}.")
        apart = rest != path and rest.split(".")[0] != "retrain"
        assert (key(base, phase) != key(some, phase)) == apart
        assert key(some, phase) == key(more, phase)
        concerned += apart
    assert concerned


def test_trials_on_different_devices_and_in_different_phases_are_kept_apart():
    state = TrialState("gan", ())
    here = pack_key(problem(), state)
    assert here != pack_key(replace(problem(), device=type(problem().device)("meta")), state)
    assert len({key(problem().config, phase) for phase in SECTIONS}) == len(SECTIONS)
    assert {phase for phases in PHASES.values() for phase in phases} == set(SECTIONS)


def test_trials_on_rows_of_other_numbers_are_kept_apart(monkeypatch):
    state = TrialState("gan", ())
    splits = problem().splits
    fewer = {**splits, "train": type(splits["train"])(splits["train"].x[1:], splits["train"].y[1:])}
    assert pack_key(problem(), state) != pack_key(replace(problem(), splits=fewer), state)
    other = replace(problem(), config=with_values(problem().config, {"data.split_seed": 5}))
    assert pack_key(problem(), state) == pack_key(other, state)
    monkeypatch.setattr("bmtune.packing.key.MOST_JOINED", splits["train"].x.numel() - 1)
    assert pack_key(problem(), state) != pack_key(other, state)


@given(st.integers(1, 4096), st.integers(1, 4096))
def test_padding_inside_a_bucket_never_doubles_the_work_of_an_axis(one, other):
    small, large = sorted((one, other))
    if bucket(small) == bucket(large) and small >= SMALL:
        # Work grows with the square of the bond dimension.
        assert large**2 < 2 * small**2
    assert bucket(small) <= bucket(large)
    assert bucket(small) == math.floor(2 * math.log2(max(small, SMALL)) + 1e-12)


def test_sizes_of_one_bucket_share_a_key_and_others_do_not():
    chosen = (4, 8, 11, 12, 15, 16, 22, 23)
    sizes = [with_values(problem().config, {"born.bond_dim": size, "born.physical_dim": 4}) for size in chosen]
    keys = [key(config, "gen") for config in sizes]
    # Small ones to 11 | 12 to 15 | 16 to 22 | 23
    assert [keys.index(found) for found in keys] == [0, 0, 0, 3, 3, 5, 5, 7]
