"""All that is looked at once, after training, on test rows."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from bmtune.attacks import attack
from bmtune.attacks import attack_noise
from bmtune.attacks import log_odds
from bmtune.attacks import make_ball
from bmtune.attacks import perturbation_radius
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import log_weights
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.after.detection import DetectionResult
from bmtune.evaluation.after.detection import detection
from bmtune.evaluation.after.membership import MembershipResult
from bmtune.evaluation.after.membership import membership
from bmtune.evaluation.after.purification import PurificationResult
from bmtune.evaluation.after.purification import ascend
from bmtune.evaluation.after.purification import resample_rows
from bmtune.evaluation.after.results import Result
from bmtune.evaluation.after.scores import accuracy
from bmtune.evaluation.after.scores import all_log_weights
from bmtune.evaluation.after.scores import contracted
from bmtune.evaluation.after.scores import log_densities
from bmtune.evaluation.after.scores import row_chunks
from bmtune.evaluation.measure import measure

MODEL_METRICS = ("acc", "loss", "genloss", "fid", "outliers")
PURIFIERS = ("ascent", "gibbs", "gibbs_in_ball")


class StudyPlan(NamedTuple):
    """What the study does beyond the configuration.

    Attributes:
        seed: Determines samples, attacks and draws.
        max_rows: Most test rows that are attacked for detection and purification.
        allowed: Share of validation rows that detection may suspect.
        strong: Whether accuracy under the strongest attacks is measured too.
    """

    seed: int
    max_rows: int = 1000
    allowed: float = 0.05
    strong: bool = False


class AfterTraining(Result):
    """The results of the study, all on test rows."""

    metrics: dict[str, float]
    detection: tuple[DetectionResult, ...]
    purification: tuple[PurificationResult, ...]
    membership: tuple[MembershipResult, ...]


class _Model(NamedTuple):
    chain: Chain
    cores: Cores
    config: EvaluationConfig
    plan: StudyPlan


def study(
    chain: Chain, cores: Cores, splits: Mapping[str, Split], config: EvaluationConfig, plan: StudyPlan
) -> AfterTraining:
    """Metrics, detection of attacks, purification and membership inference of a trained model.

    Args:
        chain: Embedding and shape.
        cores: The trained cores.
        splits: "train", "valid" and "test" on the device of the cores.
        config: Samples, strengths and the attack.
        plan: Seed and extent.
    """
    model = _Model(chain, cores, config, plan)
    test = _some(splits["test"], plan)
    moved = {strength: _attacked(model, test, strength) for strength in config.strengths}
    valid, clean = (log_densities(chain, cores, rows.x) for rows in (splits["valid"], test))
    return AfterTraining(
        metrics=measure(_metric_names(config, plan), chain, cores, splits["test"], config, seed=plan.seed),
        detection=tuple(
            detection(valid, clean, log_densities(chain, cores, x), strength=strength, allowed=plan.allowed)
            for strength, x in moved.items()
        ),
        purification=tuple(
            _purified(model, x, test.y, strength, method)
            for strength, x in ((0.0, test.x), *moved.items())
            for method in PURIFIERS
        ),
        membership=_membership(model, splits),
    )


def _metric_names(config: EvaluationConfig, plan: StudyPlan) -> tuple[str, ...]:
    families = ("rob", "rob_strong") if plan.strong else ("rob",)
    return (*MODEL_METRICS, *(f"{family}/{strength:g}" for family in families for strength in config.strengths))


def _some(split: Split, plan: StudyPlan) -> Split:
    if len(split.y) <= plan.max_rows:
        return split
    chosen = torch.randperm(len(split.y), generator=torch.Generator().manual_seed(plan.seed))[: plan.max_rows]
    chosen = chosen.to(split.y.device)
    return Split(x=split.x[chosen], y=split.y[chosen])


def _attacked(model: _Model, rows: Split, strength: float) -> Tensor:
    """The rows after the configured attack on their classes."""
    chain, interval = model.chain, model.chain.embedding.data_interval
    fixed = Cores(*(core.detach() for core in model.cores))
    radius = perturbation_radius(strength, interval)
    generator = torch.Generator().manual_seed(model.plan.seed)
    noise = attack_noise(model.config.attack, (len(rows.y), chain.num_sites), generator, rows.x.dtype)
    starts = radius * noise.to(rows.x.device)
    found = []
    for part in row_chunks(chain, len(rows.y), kept=contracted(chain, fixed)):

        def loss(x: Tensor, labels: Tensor = rows.y[part]) -> Tensor:
            return log_odds(log_weights(fixed, chain.features(x)), labels)

        found.append(attack(model.config.attack, loss, rows.x[part], starts[:, part], radius=radius, interval=interval))
    return torch.cat(found)


def _purified(model: _Model, x: Tensor, y: Tensor, strength: float, method: str) -> PurificationResult:
    chain, cores, config, plan = model
    # Whoever purifies does not know whether a row was attacked: clean rows get the largest ball.
    radius = strength or max(config.strengths)
    interval = chain.embedding.data_interval
    ball = make_ball(config.attack.norm, x, perturbation_radius(radius, interval), interval)
    if method == "ascent":
        pure = ascend(chain, cores, ball, steps=config.attack.steps)
    else:
        inside = ball if method == "gibbs_in_ball" else None
        pure = resample_rows(chain, cores, x, num_bins=config.num_bins, seed=plan.seed + 1, ball=inside)
    return PurificationResult(
        method=method,
        strength=strength,
        radius=radius,
        accuracy_before=accuracy(chain, cores, x, y),
        accuracy_after=accuracy(chain, cores, pure, y),
        log_density_before=log_densities(chain, cores, x).mean().item(),
        log_density_after=log_densities(chain, cores, pure).mean().item(),
    )


def _membership(model: _Model, splits: Mapping[str, Split]) -> tuple[MembershipResult, ...]:
    """Inference by log p(x), and by log p(c|x) at the label, which is minus the class loss."""
    scores: dict[str, list[Tensor]] = {"log p(x)": [], "log p(c|x)": []}
    for name in ("train", "test"):
        weights = all_log_weights(model.chain, model.cores, splits[name].x)
        # Z is the same for all rows: it does not change their order.
        scores["log p(x)"].append(weights.logsumexp(0))
        scores["log p(c|x)"].append(weights.log_softmax(0).gather(0, splits[name].y[None]).squeeze(0))
    return tuple(
        membership(members, others, score=name, seed=model.plan.seed + 2) for name, (members, others) in scores.items()
    )
