"""The pictures of a trial, as they travel inside a page."""

import base64
from dataclasses import dataclass
from pathlib import Path

from bmtune.config.metrics import PICTURE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_BYTES = 1_500_000
"""A larger picture is left out, so that the page stays small."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        phase: The phase of its epoch.
        epoch: Its epoch within the phase.
        source: A `data:` address with the PNG file.
    """

    phase: str
    epoch: int
    source: str


def pictures_of(folder: Path, trial: int, best_epoch: int) -> list[Picture]:
    """The first picture of a trial's main phase and the one nearest to its best epoch; fewer where there are fewer.

    Args:
        folder: The run folder.
        trial: Number of the trial.
        best_epoch: Its best epoch.
    """
    found = sorted((folder / "checkpoints" / f"trial-{trial:05d}" / "pictures").glob(f"{PICTURE}-*-*.png"))
    places = [(_place(path), path) for path in found]
    main = [(place[0], place[1], path) for place, path in places if place and place[0] not in ("pre", "re", "critic")]
    # Where the main phase is `pre` itself there are no others.
    shown = main or [(place[0], place[1], path) for place, path in places if place and place[0] == "pre"]
    if not shown:
        return []
    nearest = min(shown, key=lambda entry: (abs(entry[1] - best_epoch), entry[1]))
    chosen = [shown[0], nearest] if nearest != shown[0] else [nearest]
    read = [_read(*entry) for entry in chosen]
    return [picture for picture in read if picture is not None]


def _place(path: Path) -> tuple[str, int] | None:
    _, phase, number = path.stem.split("-", 2)
    return (phase, int(number)) if number.isdecimal() else None


def _read(phase: str, epoch: int, path: Path) -> Picture | None:
    try:
        content = path.read_bytes()
    except OSError:
        # A search that goes on may have removed it; the page says that there is none.
        return None
    if not content.startswith(_SIGNATURE) or len(content) > MOST_BYTES:
        return None
    return Picture(phase, epoch, f"data:image/png;base64,{base64.b64encode(content).decode()}")
