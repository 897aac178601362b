import subprocess
import sys

import pytest

import bmtune.cli.app as app
from bmtune.errors import ConfigError
from bmtune.errors import SearchStoppedError

HEAVY = ("torch", "ray", "optuna", "sklearn", "numpy")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bmtune {app.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["best", "-h"], ["train", "--help"]])
def test_help_goes_to_standard_output(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert app.main(arguments) == 0
    captured = capsys.readouterr()
    assert "Usage: bmtune" in captured.out
    assert captured.err == ""


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bmtune.cli.app import main; code = main(['search', '--help']); "
        f"sys.exit(code or ','.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["search"],
            "error: a search needs a trainer, but got none (command line: TRAINER); give one of classification, gan, ",
        ),
        (["serch", "gan"], "error: No such command 'serch'"),
        (["search", "gan", "--trails", "3"], "error: No such option: --trails"),
        (["search", "gan", "--trials", "many"], "error: Invalid value for '--trials'"),
        (["search", "gan", "--scheduler", "median"], "error: Invalid value for '--scheduler'"),
        (["search", "gan", "--time-budget", "soon"], "error: --time-budget takes a positive time, but got 'soon'"),
        (["search", "gan", "--set", "born.bond_dim"], "error: --set takes path=value, but got 'born.bond_dim'"),
    ],
)
def test_a_usage_error_is_one_sentence_on_standard_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert app.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def stand_in(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[str]:
    """`bmtune best` raises `error`; returns the list of runs that it was asked for."""
    asked: list[str] = []

    def best(run: str) -> int:
        asked.append(run)
        raise error

    broken = app.typer.Typer(pretty_exceptions_enable=False)
    broken.command("best")(best)
    broken.callback()(app._bmtune)
    monkeypatch.setattr(app, "app", broken)
    return asked


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("low < high must hold"), 2, "error: low < high must hold\n"),
        (SearchStoppedError("the first three failed alike"), 1, "error: the first three failed alike\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
):
    asked = stand_in(monkeypatch, error)
    assert app.main(["best", "night"]) == code
    assert asked == ["night"]
    assert capsys.readouterr().err == message


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    asked = stand_in(monkeypatch, ZeroDivisionError("our own mistake"))
    with pytest.raises(ZeroDivisionError, match="our own mistake"):
        app.main(["best", "night"])
    assert asked == ["night"]


@pytest.mark.parametrize("module", [["bmtune", "search"], ["bmtune.search"]])
def test_both_modules_are_the_command(module: list[str]):
    name, *before = module
    done = subprocess.run(
        [sys.executable, "-m", name, *before, "gan", "--trails"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: No such option: --trails")
