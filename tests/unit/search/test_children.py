"""Processes below this one, real ones where their end matters."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bmtune.search.children import _from_proc
from bmtune.search.children import below
from bmtune.search.children import end_children
from bmtune.search.children import process_table

TABLE = {1: (0, "init"), 10: (1, "search"), 11: (10, "raylet"), 12: (11, "host"), 13: (10, "python -m spared x")}
SLEEPER = "import time; time.sleep(60)"


def test_those_below_are_found_parents_first_without_what_is_spared() -> None:
    assert below(10, {**TABLE, 14: (13, "its own"), 15: (1, "other")}, "spared") == [11, 12]


def test_a_name_with_brackets_and_a_process_that_ends_meanwhile_are_read(tmp_path: Path) -> None:
    for pid, state in ((5, "S"), (6, "Z")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a ) b) {state} 3 1 1")
        (tmp_path / str(pid) / "cmdline").write_bytes(b"python\0-m\0x\0")
    (tmp_path / "7").mkdir()
    (tmp_path / "self").mkdir()
    assert _from_proc(tmp_path) == {5: (3, "python -m x ")}


def test_this_process_is_in_the_table() -> None:
    parent, arguments = process_table()[os.getpid()]
    assert parent == os.getppid()
    assert "python" in arguments


@pytest.mark.slow
def test_children_and_theirs_are_ended_and_what_was_seen_before_is_too() -> None:
    text = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)"
    orphaning = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert orphaning.stdout is not None
    orphan = int(orphaning.stdout.readline())
    orphaning.wait()
    orphaning.stdout.close()
    child = subprocess.Popen([sys.executable, "-c", SLEEPER])
    only = {number: entry for number, entry in process_table().items() if number in (orphan, child.pid)}
    assert set(only) == {orphan, child.pid}

    def table() -> dict[int, tuple[int, str]]:
        return {pid: entry for pid, entry in process_table().items() if pid in only}

    end_children({orphan}, table)
    assert child.wait(10) == -9
    until = time.monotonic() + 10
    while orphan in process_table() and time.monotonic() < until:
        time.sleep(0.05)
    assert orphan not in process_table()
