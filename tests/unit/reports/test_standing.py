from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.errors import RunFolderError
from bmtune.reports.standing import standing


def test_a_run_that_goes_on_tells_its_trials_epochs_and_best(write_run: Callable[..., Path], told: type[Any]) -> None:
    run = write_run(told([0.5, 0.25]), told([0.75], status=None), told([0.5], status="pruned"), ended=False)
    assert standing(run) == [
        "trials: 3 of 8 started (1 running, 1 completed, 1 pruned)",
        "epochs: 4",
        "best: trial 0, epoch 2: loss 0.25, acc 0.75",
    ]


def test_a_run_that_ended_says_why(write_run: Callable[..., Path], told: type[Any]) -> None:
    assert standing(write_run(told([0.5])))[-1] == "ended: all trials ended"


def test_a_run_without_an_epoch_has_no_best(write_run: Callable[..., Path]) -> None:
    assert standing(write_run(ended=False)) == ["trials: 0 of 8 started", "epochs: 0", "best: none yet"]


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"records.jsonl.*--address"):
        standing(tmp_path)
