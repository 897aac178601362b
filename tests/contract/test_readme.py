"""The README is true to the letter: CI runs every command block in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(part: str) -> str:
    """What CI runs for one part of the README."""
    done = subprocess.run(
        [sys.executable, ".ci/readme_commands.py", "README.md", part],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_readme_is_at_most_150_lines():
    assert len(README.splitlines()) <= 150


def test_every_command_block_is_one_that_ci_runs():
    shell = [body for language, body in FENCES if language == "sh"]
    assert {language for language, _ in FENCES} == {"sh", "python"}
    tests = [body for body in shell if "pytest" in body]
    assert commands("tests") == "".join(tests)
    assert commands("rest") == "".join(body for body in shell if body not in tests)
    script = (ROOT / ".ci" / "run").read_text()
    assert "readme tests" in script
    assert "readme rest" in script


@pytest.mark.slow
def test_every_program_runs_as_it_stands(tmp_path: Path):
    programs = [body for language, body in FENCES if language == "python"]
    assert programs
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_one_command_searches_and_one_passes_the_tests():
    first, second = (body for language, body in FENCES[:2])
    assert first.count("\n") == second.count("\n") == 1
    assert "-m bmtune.search gan" in first
    assert "-m pytest" in second
    assert all("pip install" in body and "-m venv" in body for body in (first, second))


def test_every_file_that_the_readme_points_to_exists():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
