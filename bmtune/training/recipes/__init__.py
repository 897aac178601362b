"""The recipes: trainers as pure functions of one trial."""

from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Recipe
from bmtune.training.recipes.base import cores_of
from bmtune.training.recipes.classification import Classification
from bmtune.training.recipes.gan import GanStyle

PHASES: dict[str, Recipe] = {
    "pre": Classification("pre"),
    "gan": GanStyle(),
    "re": Classification("re"),
}
"""The recipe that each phase runs."""

__all__ = ["PHASES", "Classification", "GanStyle", "Player", "Players", "Recipe", "cores_of"]
