"""The recipes: trainers as pure functions of one trial."""

from bmtune.training.recipes.adversarial import Adversarial
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Recipe
from bmtune.training.recipes.base import cores_of
from bmtune.training.recipes.classification import Classification
from bmtune.training.recipes.gan import CriticStart
from bmtune.training.recipes.gan import GanStyle
from bmtune.training.recipes.generative import Generative

PHASES: dict[str, Recipe] = {
    "pre": Classification("pre"),
    "critic": CriticStart(),
    "gan": GanStyle(),
    "re": Classification("re"),
    "gen": Generative(),
    "adv": Adversarial(),
}
"""The recipe that each phase runs."""

__all__ = [
    "PHASES",
    "Adversarial",
    "Classification",
    "CriticStart",
    "GanStyle",
    "Generative",
    "Player",
    "Players",
    "Recipe",
    "cores_of",
]
