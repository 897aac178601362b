"""Where one driver ends: thousands of trials that only sleep, against the real control plane on one machine.

`BMTUNE_BENCHMARK_TRIALS` (2000; the full one has 10000) is the number of short trials; `BMTUNE_BENCHMARK_CROWD` (1000)
that of trials at once, and `BMTUNE_BENCHMARK_REPORTS` (20) how often each of those reports. With these, it takes ten
minutes.
"""

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.table import Result

TRIALS = int(os.environ.get("BMTUNE_BENCHMARK_TRIALS", "2000"))
CROWD = int(os.environ.get("BMTUNE_BENCHMARK_CROWD", "1000"))
FULL, FULL_S, SLOTS = 10_000, 700.0, 16
"""Asked: 10,000 trials of a second on 16 slots within 700 s, where 625 s is perfect."""
OVER = 0.05
"""Asked: a report of each of 1,000 trials every 10 s takes so much longer than that at most."""
PROPOSAL_MS = 5.0
BYTES_A_TRIAL = 20_000.0
REPORT_S = 10.0
REPORTS = int(os.environ.get("BMTUNE_BENCHMARK_REPORTS", "20"))


def run() -> list[Result]:
    """Short trials with either sampler, and a crowd."""
    table = Result(
        f"{TRIALS} trials of 1 s, {SLOTS} slots; {CROWD} trials at once", ("figure", "found", "asked", "met")
    )
    for sampler in ("random", "tpe"):
        table.rows += [(f"{sampler}: {name}", *rest) for name, *rest in _short(_searched("many", TRIALS, sampler))]
    found = _searched("crowd", CROWD, "random")
    ideal = REPORTS * REPORT_S
    most, spent = ideal * (1 + OVER), found["training_s"]
    each = found["cpu_s"] / CROWD / REPORTS * 1e3
    table.rows += [
        (f"{CROWD} at once: s for {REPORTS} reports of each", spent, f"<= {most:g}", spent <= most),
        (f"{CROWD} at once: ms of the driver's processor a report", each, "-", "-"),
    ]
    return [table]


def _short(found: dict[str, Any]) -> list[tuple[object, ...]]:
    ended_at = {int(trials): second for trials, second in found["ended_at"].items()}
    each = _slope(ended_at)
    # What comes before the first trials have ended comes once, however many there are.
    began = found["training_s"] - each * TRIALS
    full = began + each * FULL
    wait, ours = found["proposal_ms"], found["ours_a_trial"]
    return [
        ("s from the first trial's start to the last one's end", found["training_s"], "-", "-"),
        ("of that until the processes train", began, "-", "-"),
        ("ms a trial from then on", each * 1e3, f"{1000 / SLOTS:g} is perfect", "-"),
        (f"s for {FULL} trials at this pace", full, f"<= {FULL_S:g}", full <= FULL_S),
        ("ms of the driver's processor a trial", found["cpu_s"] / TRIALS * 1e3, "-", "-"),
        ("ms that a slot waits for a proposal", wait, f"<= {PROPOSAL_MS:g}", wait <= PROPOSAL_MS),
        ("the same, at most, for 95 of 100", found["proposal_p95_ms"], "-", "-"),
        (
            "bytes of the driver a trial, with Ray's",
            _slope({int(n): b for n, b in found["resident"].items()}),
            "-",
            "-",
        ),
        ("of that the search's own state", ours, f"<= {BYTES_A_TRIAL:g}", ours <= BYTES_A_TRIAL),
    ]


def _searched(shape: str, trials: int, sampler: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale_run", shape, str(trials), sampler]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _slope(grown: dict[int, float]) -> float:
    """What a trial adds between the first quarter of the search, when all is warm, and its end."""
    ended = sorted(grown)
    first = ended[len(ended) // 4]
    return (grown[ended[-1]] - grown[first]) / max(1, ended[-1] - first)
