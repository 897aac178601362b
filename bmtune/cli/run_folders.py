"""A run as users name it: its folder, or its name below `outputs/`."""

from pathlib import Path


def run_folder(run: str) -> Path:
    """The folder of a run; a folder of that path comes before a name."""
    by_name = Path("outputs") / run
    return by_name if by_name.is_dir() and not Path(run).is_dir() else Path(run)
