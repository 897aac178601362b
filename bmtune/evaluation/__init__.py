"""Metrics of a Born machine on the rows of a split; their directions are in `bmtune.config.metrics`."""

from bmtune.evaluation.frechet import frechet_distance
from bmtune.evaluation.frechet import frechet_from_moments
from bmtune.evaluation.lanes import measure_lanes
from bmtune.evaluation.likelihood import genloss_floor
from bmtune.evaluation.likelihood import likelihood_metrics
from bmtune.evaluation.measure import measure
from bmtune.evaluation.measure import real_rows
from bmtune.evaluation.outliers import outlier_flags
from bmtune.evaluation.robustness import robustness_metrics
from bmtune.evaluation.samples import SAMPLED
from bmtune.evaluation.samples import RealRows
from bmtune.evaluation.samples import draw_samples
from bmtune.evaluation.samples import sample_metrics

__all__ = [
    "SAMPLED",
    "RealRows",
    "draw_samples",
    "frechet_distance",
    "frechet_from_moments",
    "genloss_floor",
    "likelihood_metrics",
    "measure",
    "measure_lanes",
    "outlier_flags",
    "real_rows",
    "robustness_metrics",
    "sample_metrics",
]
