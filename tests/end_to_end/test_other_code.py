"""Nodes that have another version of bmtune than the driver."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import bmtune
from bmtune.search.same_code import code_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_another_version_is_refused_unless_the_driver_brings_its_own(tmp_path: Path) -> None:
    # Ray's sockets have long names and the operating system allows 107 characters.
    with tempfile.TemporaryDirectory(prefix="bmtune-ray-", ignore_cleanup_errors=True) as temporary:
        command = [sys.executable, str(Path(__file__).with_name("other_code.py")), str(tmp_path)]
        given = {
            **os.environ,
            "RAY_TMPDIR": temporary,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    refusal, accepted, place = done.stdout.splitlines()
    assert code_name() in refusal
    assert "has 0.0.9 (sources " in refusal
    assert accepted == "None"
    assert "py_modules_files" in place
    assert not Path(place).is_relative_to(tmp_path)
    assert not Path(place).is_relative_to(Path(bmtune.__file__).parent)
