"""Detection of adversarial inputs: a row is suspicious where log p(x) is lower than for nearly all validation rows."""

import torch
from jaxtyping import Float64
from torch import Tensor

from bmtune.evaluation.after.results import Result
from bmtune.evaluation.after.scores import auroc


class DetectionResult(Result):
    """How well attacked rows are told from clean ones."""

    strength: float
    """Radius of the attack, as a fraction of the interval's length."""
    threshold: float
    """log p(x), in nats, below which a row is suspicious."""
    allowed: float
    """Share of validation rows that the threshold was allowed to suspect."""
    false_positive_rate: float
    """Share of clean test rows that are suspected."""
    true_positive_rate: float
    """Share of attacked test rows that are suspected."""
    auroc: float
    """Chance that a clean row's score exceeds an attacked one's."""


def fit_threshold(scores: Float64[Tensor, " R"], allowed: float) -> float:
    """The highest threshold below which at most the share `allowed` of the scores lies."""
    ordered = scores.sort().values
    return ordered[min(int(allowed * len(ordered)), len(ordered) - 1)].item()


def detection(
    valid: Float64[Tensor, " V"],
    clean: Float64[Tensor, " R"],
    attacked: Float64[Tensor, " A"],
    *,
    strength: float,
    allowed: float,
) -> DetectionResult:
    """Detection by a threshold that only validation rows determine.

    Args:
        valid: log p(x) of validation rows.
        clean: Of clean test rows.
        attacked: Of attacked test rows.
        strength: Radius of the attack.
        allowed: Share of validation rows that may be suspected.
    """
    threshold = fit_threshold(valid, allowed)

    def suspected(scores: Tensor) -> float:
        # A score that is not a number says nothing for the row: it is suspected.
        return (~(scores >= threshold)).to(torch.float64).mean().item()

    return DetectionResult(
        strength=strength,
        threshold=threshold,
        allowed=allowed,
        false_positive_rate=suspected(clean),
        true_positive_rate=suspected(attacked),
        auroc=auroc(clean, attacked),
    )
