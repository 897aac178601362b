"""When each record was written, in seconds of the search."""

from collections.abc import Iterator
from collections.abc import Sequence

from bmtune.records import Record
from bmtune.records import RunStarted

_RESUMED = "run_resumed"


def moments(records: Sequence[Record]) -> list[float]:
    """Seconds of the search at each record.

    Some kinds of records tell the time. The others get theirs from the nearest ones that do, before and after, in equal
    steps. Time never runs backwards, and the time in which the search did not run, before it was taken up again, is
    left out.

    Args:
        records: In the order of the file.

    Returns:
        As many numbers, from 0 on, none smaller than the one before.
    """
    found: list[float] = []
    known = 0.0
    for begin, end, seconds in _gaps(records):
        count = end - begin + 1
        found += [known + seconds * (step + 1) / count for step in range(count)]
        known += seconds
    # Nothing tells how long the records took that follow the last known time.
    return found + [known] * (len(records) - len(found))


def _gaps(records: Sequence[Record]) -> Iterator[tuple[int, int, float]]:
    """For each record that tells the time: the first one after the last such, itself, and the seconds between them."""
    begin, last = 0, None
    for index, record in enumerate(records):
        time = getattr(record, "time", None)
        if time is None:
            continue
        rested = last is None or str(record.kind) == _RESUMED or isinstance(record, RunStarted)
        yield begin, index, 0.0 if rested else max(0.0, time - last)
        begin, last = index + 1, time if last is None or rested else max(last, time)
