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
        f"{TRIALS} trials of 1 s on {SLOTS} slots; {CROWD} trials at once", ("figure", "found", "asked", "met")
    )
    for sampler in ("random", "tpe"):
        found = _searched("many", TRIALS, sampler)
        ideal = TRIALS / SLOTS
        full = found["training_s"] / ideal * FULL / SLOTS
        resident = {int(trials): size for trials, size in found["resident"].items()}
        grown = _slope(resident)
        table.rows += [
            (
                f"{sampler}: s from the first trial's start to the last one's end",
                found["training_s"],
                f"{ideal:g} is perfect",
                "-",
            ),
            (f"{sampler}: s with the start of Ray and of {SLOTS} processes", found["seconds"], "-", "-"),
            (f"{sampler}: s for {FULL} trials at this pace", full, f"<= {FULL_S:g}", full <= FULL_S),
            (f"{sampler}: ms of the driver's processor a trial", found["cpu_s"] / TRIALS * 1e3, "-", "-"),
            (
                f"{sampler}: ms that a slot waits for a proposal (median)",
                found["proposal_ms"],
                f"<= {PROPOSAL_MS:g}",
                found["proposal_ms"] <= PROPOSAL_MS,
            ),
            (f"{sampler}: the same, 95 of 100 proposals", found["proposal_p95_ms"], "-", "-"),
            (f"{sampler}: bytes of the driver a trial, in all", grown, "-", "-"),
            (
                f"{sampler}: of that the search's own state",
                found["ours_a_trial"],
                f"<= {BYTES_A_TRIAL:g}",
                found["ours_a_trial"] <= BYTES_A_TRIAL,
            ),
        ]
    found = _searched("crowd", CROWD, "random")
    ideal = REPORTS * REPORT_S
    table.rows += [
        (
            f"{CROWD} at once: s of {REPORTS} reports of each",
            found["training_s"],
            f"<= {ideal * (1 + OVER):g}",
            found["training_s"] <= ideal * (1 + OVER),
        ),
        (f"{CROWD} at once: ms of the driver's processor a report", found["cpu_s"] / CROWD / REPORTS * 1e3, "-", "-"),
    ]
    return [table]


def _searched(shape: str, trials: int, sampler: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale_run", shape, str(trials), sampler]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _slope(resident: dict[int, int]) -> float:
    """Bytes a trial between the first quarter of the search, when all is warm, and its end."""
    ended = sorted(resident)
    first = ended[len(ended) // 4]
    return (resident[ended[-1]] - resident[first]) / max(1, ended[-1] - first)
