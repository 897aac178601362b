"""Configuration: frozen, closed models and search spaces; imports no torch and no Ray."""

from bmtune.config.root import TrialConfig

__all__ = ["TrialConfig"]
