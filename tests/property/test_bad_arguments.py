"""Whatever stands behind `bmtune`: an answer, or one line on standard error that begins with `error:`; no traceback."""

from pathlib import Path

import pytest
import typer.main
import yaml
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.cli.app import app
from bmtune.cli.app import main
from bmtune.config.best import BestFile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
EXAMPLES = 60
quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    # Each example has its own words; the folder that commands run in stays empty.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BEST = BestFile.model_validate(
    {
        "run": "night",
        "trainer": "gan",
        "dataset": "iris",
        "objective": [{"metric": "fid", "mode": "min"}],
        "best": {"trial": 1, "value": 0.1, "epoch": 2, "metrics": {"fid": 0.1}, "config": {}, "checkpoint": "best"},
        "trials": {"total": 2, "completed": 2, "pruned": 0, "failed": 0},
    }
)
# What an operating system can hand to a program: no zero byte, but bytes that are not UTF-8.
text = st.text(
    st.one_of(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), st.sampled_from("\udc80\udcff"))
)
words = st.one_of(
    text,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "",
            "-",
            "--",
            "\x1b[2J",
            "\u202e",
            "a\nb",
            "..",
            "/",
            "/dev/null",
            "/proc/self/mem",
            "9" * 5000,
            "1e400",
            "~x",
        ]
    ),
    st.sampled_from(["x" * 5000, "a=", "=", "born.bond_dim=1e99", "ucr/X", "x.csv", "x.parquet", "gan", "iris", "0.5"]),
)
paths = st.sampled_from(
    [
        "born.bond_dim",
        "born",
        "seed",
        "data.root",
        "data.dataset",
        "trainer.ganstyle.metrics",
        "evaluation.strengths",
        "name",
    ]
)
assignments = st.one_of(words, st.tuples(paths, words).map("=".join))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path))
    return tmp_path


def options_of(command: str) -> list[tuple[str, bool]]:
    """The options of a command, and whether each takes a value."""
    parameters = COMMANDS[command].params
    return [(entry.opts[0], not entry.is_flag) for entry in parameters if entry.opts[0].startswith("--")]


def some_options(command: str) -> st.SearchStrategy[list[str]]:
    def words_of(option: tuple[str, bool]) -> st.SearchStrategy[list[str]]:
        name, takes_value = option
        if not takes_value:
            return st.just([name])
        value = assignments if name == "--set" else words
        return st.one_of(value.map(lambda word: [name, word]), value.map(lambda word: [f"{name}={word}"]))

    chosen = st.lists(st.sampled_from(options_of(command)).flatmap(words_of), min_size=1, max_size=3)
    return chosen.map(lambda parts: [word for part in parts for word in part])


def answers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The property of this file."""
    code = main(arguments)
    shown = capsys.readouterr()
    assert code in (0, 2)
    shown.out.encode()
    if code == 2:
        assert shown.err.startswith("error: "), shown.err
        assert shown.err.endswith("\n")
        assert shown.err.removesuffix("\n").isprintable()
    assert "Traceback" not in shown.err


@quick
@given(st.sampled_from(["classification", "gan"]), some_options("search"))
def test_options_of_a_search(capsys: pytest.CaptureFixture[str], here: Path, trainer: str, options: list[str]) -> None:
    answers(["search", trainer, "--dataset", "iris", "--dry-run", *options, "--dry-run"], capsys)
    assert list(here.iterdir()) == []


@quick
@given(words)
def test_the_trainer_of_a_search(capsys: pytest.CaptureFixture[str], word: str) -> None:
    answers(["search", "--dry-run", "--", word], capsys)


@quick
@given(st.sampled_from(["best", "train", "evaluate"]), words, st.data())
def test_a_command_on_something_that_is_no_run(
    capsys: pytest.CaptureFixture[str], here: Path, command: str, word: str, data: st.DataObject
) -> None:
    options = data.draw(
        st.one_of(st.just([]), some_options(command).filter(lambda words: "--output" not in str(words)))
    )
    answers([command, *options, "--", word], capsys)
    assert list(here.iterdir()) == []


@quick
@given(st.lists(assignments, min_size=1, max_size=2))
def test_values_that_a_training_is_to_have(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    best = tmp_path_factory.getbasetemp() / "fuzzed-best.yaml"
    best.write_text(yaml.safe_dump(BEST.model_dump(mode="json")))
    # There is no such set, so that nothing is ever trained.
    given_values = [word for value in values for word in ("--set", value)]
    answers(["train", str(best), *given_values, "--set", "data.dataset=ucr/NoSuchSet"], capsys)


@quick
@given(words, st.lists(st.tuples(st.sampled_from(["--root", "--label"]), words), max_size=2))
def test_data_that_is_none(capsys: pytest.CaptureFixture[str], word: str, options: list[tuple[str, str]]) -> None:
    answers(["data", "check", *(part for option in options for part in option), "--", word], capsys)
    answers(["data", "list", "--root", word], capsys)
    answers(["data", "fetch", "--", f"{word}x"], capsys)


@quick
@given(st.lists(words, max_size=4))
def test_any_words(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    # A search that could start is not what is asked for here, and without words help is the answer.
    answers(["best", *arguments] if "search" in arguments or not arguments else arguments, capsys)
