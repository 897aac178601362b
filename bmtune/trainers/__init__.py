"""The trainer guide's classes: short faces on the one loop of `bmtune.training`."""

from bmtune.trainers.adversarial import AdversarialTrainer
from bmtune.trainers.classification import ClassificationTrainer
from bmtune.trainers.critic import Critic
from bmtune.trainers.evaluator import PerformanceEvaluator
from bmtune.trainers.ganstyle import GANStyleTrainer
from bmtune.trainers.generative import GenerativeTrainer

__all__ = [
    "AdversarialTrainer",
    "ClassificationTrainer",
    "Critic",
    "GANStyleTrainer",
    "GenerativeTrainer",
    "PerformanceEvaluator",
]
