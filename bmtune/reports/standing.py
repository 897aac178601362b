"""Where a run stands, in a few lines."""

from pathlib import Path
from typing import get_args

from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import read_records
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialState
from bmtune.reports.wording import metrics

RECORDS_FILE = "records.jsonl"


def standing(run: Path) -> list[str]:
    """Lines about trials, epochs and the best of a run, as its records tell them.

    Raises:
        RunFolderError: The folder holds no run.
        FormatError: Its records cannot be read.
    """
    if not (run / RECORDS_FILE).is_file():
        raise RunFolderError(
            f"a run must be a folder with {RECORDS_FILE}, but {run} is not; give the folder that a search wrote, or "
            "--address to ask for a job"
        )
    read = read_records(run / RECORDS_FILE)
    try:
        progress = RunProgress(read.records)
    except ValueError as error:
        raise FormatError(
            f"records must follow from those before them, but in {run / RECORDS_FILE} they do not ({error}); "
            f"`bmtune doctor {run}` says more"
        ) from error
    return list(_lines(progress))


def _lines(progress: RunProgress) -> list[str]:
    wanted = progress.started.trials if progress.started is not None else 0
    counted = [f"{count} {state}" for state in get_args(TrialState) if (count := progress.count(state))]
    told = [
        f"trials: {len(progress.trials)} of {wanted} started" + (f" ({', '.join(counted)})" if counted else ""),
        f"epochs: {progress.num_epochs}",
    ]
    ranked = progress.ranked()
    if ranked:
        best = ranked[0]
        first = progress.started.objective.metric if progress.started is not None else None
        told.append(f"best: trial {best.trial}, epoch {best.best_epoch}: {metrics(best.best_metrics or {}, first)}")
    else:
        told.append("best: none yet")
    if progress.finished is not None:
        told.append(f"ended: {progress.finished.reason}")
    return told
