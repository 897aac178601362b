"""Hyperparameter search for matrix-product-state Born machines."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmtune.born import BornMachine
    from bmtune.data import DataHandler
    from bmtune.objectives import GenerativeNLL
    from bmtune.trainers import AdversarialTrainer
    from bmtune.trainers import ClassificationTrainer
    from bmtune.trainers import Critic
    from bmtune.trainers import GANStyleTrainer
    from bmtune.trainers import GenerativeTrainer
    from bmtune.trainers import PerformanceEvaluator

__version__ = "0.1.0"

_HOMES = {
    "AdversarialTrainer": "bmtune.trainers",
    "BornMachine": "bmtune.born",
    "ClassificationTrainer": "bmtune.trainers",
    "Critic": "bmtune.trainers",
    "DataHandler": "bmtune.data",
    "GANStyleTrainer": "bmtune.trainers",
    "GenerativeNLL": "bmtune.objectives",
    "GenerativeTrainer": "bmtune.trainers",
    "PerformanceEvaluator": "bmtune.trainers",
}

__all__ = [
    "AdversarialTrainer",
    "BornMachine",
    "ClassificationTrainer",
    "Critic",
    "DataHandler",
    "GANStyleTrainer",
    "GenerativeNLL",
    "GenerativeTrainer",
    "PerformanceEvaluator",
    "__version__",
]


def __getattr__(name: str) -> object:
    """The public classes, loaded when they are asked for: `bmtune --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bmtune' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
