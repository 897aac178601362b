"""The names under which values are tracked: those of the trainer guide."""

from collections.abc import Mapping


def epoch_values(phase: str, epoch: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """The values of one epoch: `pre/train/loss` for "train/loss", `pre/valid/acc` for "acc", and `pre/epoch`.

    Args:
        phase: The phase that the epoch belongs to.
        epoch: Its number within the phase.
        metrics: As in an epoch's report; what the main phase starts from stands there as "start/...".
    """
    values = {f"{phase}/{_place(name)}{name}": value for name, value in metrics.items()}
    return values | {f"{phase}/epoch": epoch}


def _place(name: str) -> str:
    return "" if name.startswith(("train/", "start/")) else "valid/"


def test_values(phase: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The summary of the test metrics: `pre/test/acc`."""
    return {f"{phase}/test/{name}": value for name, value in metrics.items()}


def is_trace(key: str) -> bool:
    """Whether a key is a curve whose last value says nothing, so that it needs no summary."""
    return "/train/" in key or key.endswith("/epoch")


def epoch_times(epochs: Mapping[str, int], seconds: Mapping[str, float]) -> dict[str, float]:
    """The summaries of average epoch times, from the epochs of each phase and the seconds that they took.

    The GAN phase has two: with the retraining that it caused, and without.
    """
    found = {f"{phase}/avg_epoch_time_s": seconds[phase] / epochs[phase] for phase in epochs if phase in _SIMPLE}
    if "gan" in epochs:
        alone = seconds["gan"]
        found["gan/avg_epoch_time_total_s"] = (alone + seconds.get("re", 0.0)) / epochs["gan"]
        found["gan/avg_epoch_time_no_retrain_s"] = alone / epochs["gan"]
    return found


_SIMPLE = ("pre", "critic", "gen", "adv")


def picture_path(trial: int, phase: str, epoch: int, name: str) -> str:
    """Where the picture of an epoch lies, relative to the run folder; (trial, phase, epoch) is unique."""
    return f"checkpoints/trial-{trial:05d}/pictures/{name}-{phase}-{epoch:05d}.png"
