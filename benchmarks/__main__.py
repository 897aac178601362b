"""Runs benchmarks: `python -m benchmarks`, or some by name; those that take many minutes run only by name."""

import sys
from importlib import import_module

import torch
from rich.console import Console

NAMES = (
    *("step", "packs", "buckets", "sampling", "gan_epoch", "generative", "adversarial_epoch"),
    *("report", "resume", "search", "belief"),
)
ON_REQUEST = ("quality", "images", "pack_search", "pack_control", "gan_search", "confirmation", "scale")


def main(chosen: list[str]) -> int:
    """Runs the chosen benchmarks, or all; each prints its tables and JSON."""
    unknown = [name for name in chosen if name not in NAMES + ON_REQUEST]
    if unknown:
        sys.stderr.write(f"error: a benchmark must be one of {', '.join(NAMES + ON_REQUEST)}, but got {unknown[0]!r}\n")
        return 2
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name in chosen or NAMES:
        for result in import_module(f"benchmarks.{name}").run():
            result.show(console)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
