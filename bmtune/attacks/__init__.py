"""Gradient attacks: pure functions that move rows inside a ball to raise a loss, for one model or several."""

from bmtune.attacks.apgd import apgd
from bmtune.attacks.attack import attack
from bmtune.attacks.attack import attack_noise
from bmtune.attacks.attack import attempts
from bmtune.attacks.attack import worst
from bmtune.attacks.ball import Ball
from bmtune.attacks.ball import ball_noise
from bmtune.attacks.ball import make_ball
from bmtune.attacks.ball import perturbation_radius
from bmtune.attacks.losses import difference_of_logits
from bmtune.attacks.losses import log_odds
from bmtune.attacks.losses import margin
from bmtune.attacks.projected import fgm
from bmtune.attacks.projected import pgd
from bmtune.attacks.slopes import RowLoss
from bmtune.attacks.slopes import row_slopes

__all__ = [
    "Ball",
    "RowLoss",
    "apgd",
    "attack",
    "attack_noise",
    "attempts",
    "ball_noise",
    "difference_of_logits",
    "fgm",
    "log_odds",
    "make_ball",
    "margin",
    "perturbation_radius",
    "pgd",
    "row_slopes",
    "worst",
]
