"""Numbers and times as words for a table or a log."""

from collections.abc import Mapping

from pydantic import JsonValue


def number(value: float) -> str:
    """Four significant digits, without a tail of zeros: 0.9955, 3.02e-04, 12."""
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as `42 s`, `4 min 10 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def metrics(values: Mapping[str, float], first: str | None = None) -> str:
    """`fid 3.02e-04, acc 0.9955`: validation values only, the metric called `first` before all others.

    An epoch without any, as when the critic is trained alone, is told by its training losses: `train/d_loss 1.39`.
    """
    found = [name for name in values if "/" not in name] or [name for name in values if name.startswith("train/")]
    names = sorted(found, key=lambda name: name != first)
    return ", ".join(f"{name} {number(values[name])}" for name in names)


def params(values: Mapping[str, JsonValue]) -> str:
    """`born.bond_dim=6 trainer.classification.optimizer.lr=0.01`."""
    return " ".join(f"{path}={number(value) if isinstance(value, float) else value}" for path, value in values.items())


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
