"""Critics: networks that tell generated rows from real ones."""

from bmtune.critics.mlp import CriticShape
from bmtune.critics.mlp import critic_scores
from bmtune.critics.mlp import start_critic

__all__ = ["CriticShape", "critic_scores", "start_critic"]
