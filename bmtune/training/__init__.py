"""Training: one loop, a recipe for each trainer. No file, no network, no search."""

from bmtune.training.outcome import Outcome
from bmtune.training.outcome import outcome
from bmtune.training.outcome import test_metrics
from bmtune.training.outcome import timings
from bmtune.training.pretraining import Pretrained
from bmtune.training.pretraining import pre_determined_by
from bmtune.training.pretraining import pre_pictures
from bmtune.training.pretraining import pre_result
from bmtune.training.pretraining import with_pre_result
from bmtune.training.problem import Problem
from bmtune.training.problem import make_problem
from bmtune.training.settle import main_best
from bmtune.training.snapshot import from_checkpoint
from bmtune.training.snapshot import to_checkpoint
from bmtune.training.state import EpochReport
from bmtune.training.state import TrialState
from bmtune.training.status import Status
from bmtune.training.trial import advance
from bmtune.training.trial import start
from bmtune.training.trial import start_at

__all__ = [
    "EpochReport",
    "Outcome",
    "Pretrained",
    "Problem",
    "Status",
    "TrialState",
    "advance",
    "from_checkpoint",
    "main_best",
    "make_problem",
    "outcome",
    "pre_determined_by",
    "pre_pictures",
    "pre_result",
    "start",
    "start_at",
    "test_metrics",
    "timings",
    "to_checkpoint",
    "with_pre_result",
]
