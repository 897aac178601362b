"""What a trained model is good for: detection, purification, membership; not measured while training."""

from bmtune.evaluation.after.detection import DetectionResult
from bmtune.evaluation.after.detection import detection
from bmtune.evaluation.after.detection import fit_threshold
from bmtune.evaluation.after.membership import MembershipResult
from bmtune.evaluation.after.membership import membership
from bmtune.evaluation.after.purification import PurificationResult
from bmtune.evaluation.after.purification import ascend
from bmtune.evaluation.after.purification import resample_rows
from bmtune.evaluation.after.scores import auroc
from bmtune.evaluation.after.scores import log_density
from bmtune.evaluation.after.study import AfterTraining
from bmtune.evaluation.after.study import StudyPlan
from bmtune.evaluation.after.study import study

__all__ = [
    "AfterTraining",
    "DetectionResult",
    "MembershipResult",
    "PurificationResult",
    "StudyPlan",
    "ascend",
    "auroc",
    "detection",
    "fit_threshold",
    "log_density",
    "membership",
    "resample_rows",
    "study",
]
