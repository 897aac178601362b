"""Going on with a run of 5,000 trials that have ended: how soon it is ready; records appended a second; memory."""

import gc
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter

from benchmarks.synthetic_run import write_run
from benchmarks.table import Result
from bmtune.records import Epoch
from bmtune.records import RecordWriter
from bmtune.records import RunFinished
from bmtune.records import read_records
from bmtune.records import to_line
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve_options
from bmtune.search.run_folder import open_run
from bmtune.search.state import SearchState

TRIALS, EPOCHS = 5000, 10
READY_S, RECORDS_A_S, BYTES_A_TRIAL = 10.0, 10_000.0, 20_000.0
"""Asked: at most so many seconds until a run goes on, at least so many records a second, at most so many bytes."""


def run() -> list[Result]:
    """Seconds to read, replay and propose; records a second; bytes of the state for each trial that ended."""
    table = Result(f"a run of {TRIALS} trials of {EPOCHS} epochs", ("figure", "found", "asked", "met"))
    with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
        made = write_run(Path(folder) / "run", TRIALS, EPOCHS)
        records = list(read_records(made / "records.jsonl").records)
        if isinstance(records[-1], RunFinished):
            del records[-1]
        (made / "records.jsonl").write_bytes(b"".join(map(to_line, records)))
        began = perf_counter()
        request = SearchRequest(None, storage=made.parent, name="run", resume=True, trials=TRIALS + 100)
        with open_run(resolve_options(request)) as opened:
            ready = perf_counter() - began
            space = opened.state.space
        table.rows += [
            ("seconds until it goes on", ready, f"<= {READY_S:g}", ready <= READY_S),
            ("records", len(records), "-", "-"),
            ("records appended a second", *_appended(Path(folder) / "appended.jsonl", records)),
        ]
        # The records themselves are not part of what a driver keeps; what Ray keeps of a trial is not in here.
        tracemalloc.start()
        state = SearchState.replay(space, iter(records))
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / len(state.finished)
        tracemalloc.stop()
        table.rows.append(("bytes of the state a trial", each, f"<= {BYTES_A_TRIAL:g}", each <= BYTES_A_TRIAL))
    return [table]


def _appended(path: Path, records: list[object]) -> tuple[float, str, bool]:
    epochs = [record for record in records if isinstance(record, Epoch)]
    with RecordWriter(path) as writer:
        began = perf_counter()
        for record in epochs:
            writer.write(record)
        writer.sync()
        rate = len(epochs) / (perf_counter() - began)
    return rate, f">= {RECORDS_A_S:g}", rate >= RECORDS_A_S
