"""Losses: functions of log-weights or of a critic's outputs, written for one trial."""

from bmtune.objectives.classification import brier
from bmtune.objectives.classification import class_nll
from bmtune.objectives.game import critic_bce
from bmtune.objectives.game import critic_wasserstein
from bmtune.objectives.game import generator_bce
from bmtune.objectives.game import generator_wasserstein
from bmtune.objectives.game import gradient_penalty

__all__ = [
    "brier",
    "class_nll",
    "critic_bce",
    "critic_wasserstein",
    "generator_bce",
    "generator_wasserstein",
    "gradient_penalty",
]
