"""Membership inference: does a score tell rows that were trained on from rows that were not?

A threshold is fitted on one half of the rows and judged on the other, and the other way round: an attacker who is
judged on the rows that he chose his threshold by would seem to succeed on a model that gives nothing away.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from bmtune.evaluation.after.results import Result
from bmtune.evaluation.after.scores import auroc


class MembershipResult(Result):
    """How well training rows are told from test rows; .5 is chance."""

    score: str
    """What rows are judged by; members are expected to score higher."""
    accuracy: float
    """Mean of the shares of training and of test rows that are told rightly, on rows that chose no threshold."""
    auroc: float
    """Chance that a training row scores higher than a test row."""


def membership(
    members: Float64[Tensor, " R"], others: Float64[Tensor, " S"], *, score: str, seed: int
) -> MembershipResult:
    """Held-out membership inference by a threshold.

    Args:
        members: Scores of rows that were trained on, at least 2.
        others: Scores of rows that were not, at least 2.
        score: What the scores are.
        seed: Determines the halves.
    """
    generator = torch.Generator().manual_seed(seed)
    inside, outside = (_halves(scores.cpu(), generator) for scores in (members, others))
    folds = ((0, 1), (1, 0))
    found = [
        _balanced(inside[judged], outside[judged], _best_threshold(inside[fitted], outside[fitted]))
        for fitted, judged in folds
    ]
    return MembershipResult(score=score, accuracy=sum(found) / len(found), auroc=auroc(members, others))


def _halves(scores: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    shuffled = scores[torch.randperm(len(scores), generator=generator)]
    middle = len(scores) // 2
    return shuffled[:middle], shuffled[middle:]


def _best_threshold(inside: Float64[Tensor, " R"], outside: Float64[Tensor, " S"]) -> float:
    """The score from which on a row is best called a member: the highest balanced accuracy on these rows."""
    candidates = torch.cat((inside, outside)).unique()
    missed = torch.searchsorted(inside.sort().values, candidates) / len(inside)
    rejected = torch.searchsorted(outside.sort().values, candidates) / len(outside)
    best: float = candidates[(rejected - missed).argmax()].item()
    return best


def _balanced(inside: Float64[Tensor, " R"], outside: Float64[Tensor, " S"], threshold: float) -> float:
    kept = (inside >= threshold).double().mean().item()
    rejected = (outside < threshold).double().mean().item()
    return (kept + rejected) / 2
