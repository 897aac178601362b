"""Losses: functions of log-weights or of a critic's outputs, written for one trial."""

from bmtune.objectives.classification import brier
from bmtune.objectives.classification import brier_and_slope
from bmtune.objectives.classification import class_nll
from bmtune.objectives.classification import class_nll_and_slope
from bmtune.objectives.game import critic_bce
from bmtune.objectives.game import critic_wasserstein
from bmtune.objectives.game import generator_bce
from bmtune.objectives.game import generator_wasserstein
from bmtune.objectives.game import gradient_penalty
from bmtune.objectives.generative import GenerativeNLL
from bmtune.objectives.generative import check_criterion
from bmtune.objectives.generative import joint_nll
from bmtune.objectives.generative import mixed_nll
from bmtune.objectives.generative import norm_penalty
from bmtune.objectives.robust import brier_rows
from bmtune.objectives.robust import divergence_rows
from bmtune.objectives.robust import mixed_adversarial
from bmtune.objectives.robust import trades

__all__ = [
    "GenerativeNLL",
    "brier",
    "brier_and_slope",
    "brier_rows",
    "check_criterion",
    "class_nll",
    "class_nll_and_slope",
    "critic_bce",
    "critic_wasserstein",
    "divergence_rows",
    "generator_bce",
    "generator_wasserstein",
    "gradient_penalty",
    "joint_nll",
    "mixed_adversarial",
    "mixed_nll",
    "norm_penalty",
    "trades",
]
