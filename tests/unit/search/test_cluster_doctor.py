"""What `bmtune doctor --address` makes of what machines say; a real cluster is in end_to_end."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bmtune.cli.app import main
from bmtune.search.cluster_doctor import Answer
from bmtune.search.cluster_doctor import describe
from bmtune.search.cluster_doctor import problems
from bmtune.search.cluster_doctor import skew_of
from bmtune.search.node_check import Gpu
from bmtune.search.node_check import NodeReport
from bmtune.search.node_check import check_node
from bmtune.search.node_check import find_gpus

VERSIONS = {"bmtune": "0.3.0", "ray": "2.60.0", "torch": "2.14.0"}
OWN = NodeReport("here", "3.11.9", VERSIONS, (), 2**34, sees=True, refused=None, clock=0.0)


def answer(skew: float = 0.0, gpus: float = 0.0, **changed: Any) -> Answer:
    return Answer("10.0.0.2", {"CPU": 4.0, "GPU": gpus}, OWN._replace(host="there", **changed), skew, 0.1)


def test_a_sound_machine_is_described_and_nothing_is_amiss() -> None:
    sound = answer()
    assert list(problems(sound, OWN)) == []
    assert list(describe(sound)) == [
        "10.0.0.2 (there): 4 processors and 0 GPUs; Python 3.11.9, bmtune 0.3.0, ray 2.60.0, torch 2.14.0",
        "  16.0 GiB free; sees the storage folder; clock +0.00 s (within 0.10 s)",
    ]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            answer(versions={**VERSIONS, "bmtune": "0.2.0"}),
            "bmtune must be the same everywhere, but 10.0.0.2 has 0.2.0",
        ),
        (answer(versions={"ray": "2.60.0", "torch": "2.14.0"}), "bmtune must be the same everywhere, .* has none"),
        (answer(refused="Read-only file system"), "must be able to write files, but 10.0.0.2 says: Read-only"),
        (answer(free=2**29), "should have 1 GiB free, but 10.0.0.2 has 0.50"),
        (answer(skew=-3.0), r"clocks should agree to 1 s, but that of 10.0.0.2 differs by -3.0 s"),
        (answer(gpus=4.0), "on 10.0.0.2 it counts 4 and the driver knows 0"),
        (Answer("10.0.0.2", {}, None, problem="it died"), "must answer, but 10.0.0.2 does not: it died"),
    ],
)
def test_what_is_amiss_is_one_sentence_each(found: Answer, message: str) -> None:
    (text,) = problems(found, OWN)
    assert re.search(message, text)


def test_a_machine_that_sees_another_disk_is_no_mistake() -> None:
    apart = answer(sees=False)
    assert list(problems(apart, OWN)) == []
    assert "does not see the storage folder: files travel with reports" in "".join(describe(apart))


def test_the_skew_of_a_clock_is_known_as_exactly_as_it_answered_soon() -> None:
    assert skew_of(asked=10.0, told=13.0, heard=12.0) == (2.0, 1.0)


def test_this_machine_answers_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    report = check_node(str(tmp_path), "mark")
    assert (report.sees, report.refused) == (True, None)
    assert report.versions.keys() == {"bmtune", "ray", "torch"}
    assert report.free > 0
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]
    assert not check_node(str(tmp_path / "nowhere"), "mark").sees


def test_gpus_are_those_of_the_drivers_own_tool(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559, 570.86.15'\necho 'garbled'\n")
    tool.chmod(0o755)
    assert find_gpus(str(tool)) == (Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20, "570.86.15"),)
    assert find_gpus(str(tmp_path / "none")) == ()


@pytest.mark.parametrize(("words", "given"), [([], "neither"), (["run", "--address", "auto"], "both")])
def test_a_run_or_a_cluster_is_checked(words: list[str], given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 2
    assert capsys.readouterr().err == (
        f"error: either a run or a cluster is checked, but got {given} (command line: RUN, --address); give one of "
        "them\n"
    )


@pytest.mark.slow
def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Nobody listens there.
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        # In a process of its own: this one may have joined a cluster already.
        words = [sys.executable, "-m", "bmtune", "doctor", "--address", address, "--storage", str(tmp_path / "runs")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: a search needs Ray, but {address} gives none: ")
    assert not (tmp_path / "runs").exists()
