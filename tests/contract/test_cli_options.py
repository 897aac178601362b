"""Every command and option, listed: growth happens in typed configuration, and a new option is a decision."""

import typer.main

from bmtune.cli import search as search_command
from bmtune.cli import submit as submit_command
from bmtune.cli.app import app
from bmtune.config.data import DATASETS
from bmtune.config.metrics import METRICS
from bmtune.config.root import RECIPES
from bmtune.search.jobs import DEFAULT_ADDRESS

COMMANDS = {
    "search": [
        "trainer",
        "--space",
        "--dataset",
        "--trials",
        "--max-epochs",
        "--time-budget",
        "--metric",
        "--constraint",
        "--seed",
        "--name",
        "--storage",
        "--address",
        "--allow-open-cluster",
        "--resume",
        "--force",
        "--from",
        "--from-top",
        "--enqueue",
        "--set",
        "--dry-run",
        "--json",
        "--scheduler",
        "--halving",
        "--sampler",
        "--pack",
        "--cpus-per-trial",
        "--gpus-per-trial",
        "--resource",
        "--max-concurrent",
        "--report-every",
        "--max-failures",
        "--pre-cache",
        "--wandb",
        "--confirm",
    ],
    "best": ["run", "--json", "--trial", "--top"],
    "confirm": ["run", "--top", "--seeds", "--address", "--gpus-per-trial"],
    "report": ["run", "--output", "--metric", "--open"],
    "export": ["run", "--format", "--table", "--output"],
    "compare": ["runs", "--html"],
    "dashboard": ["run", "--port", "--no-open"],
    "doctor": ["run", "--repair", "--address", "--storage"],
    "submit": ["words", "--address", "--no-wait"],
    "status": ["run", "--address", "--follow"],
    "stop": ["run", "--address"],
    "train": ["best", "--set", "--seed", "--storage"],
    "evaluate": ["checkpoint", "--json", "--output", "--set", "--seed", "--rows", "--false-alarms", "--strong"],
    "data list": ["--root"],
    "data fetch": ["name", "--root"],
    "data check": ["dataset", "--root", "--label"],
}


def leaves(group, before=""):
    """Every command by its words, those of groups within groups too."""
    found = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {before + name: command} if inner is None else leaves(command, f"{before}{name} ")
    return found


def test_the_commands_and_their_options_are_these():
    group = typer.main.get_command(app)
    found = {name: [parameter.opts[0] for parameter in command.params] for name, command in leaves(group).items()}
    assert found == COMMANDS
    assert [parameter.opts for parameter in group.params] == [["--version"]]


def test_every_parameter_says_what_it_is():
    group = typer.main.get_command(app)
    undocumented = [
        (name, parameter.opts[0])
        for name, command in leaves(group).items()
        for parameter in command.params
        if not parameter.help
    ]
    assert undocumented == []


def test_every_option_shows_its_default():
    group = typer.main.get_command(app)
    bare = [
        (name, option.opts[0])
        for name, command in leaves(group).items()
        for option in command.params
        if option.opts[0].startswith("--") and option.default is None and not option.show_default
    ]
    assert bare == []


def test_the_names_in_the_help_are_those_of_the_configuration():
    assert search_command.TRAINERS == RECIPES
    assert search_command.DATASETS == DATASETS
    assert list(search_command.METRICS) == list(METRICS)
    assert all(search_command.METRICS[name].endswith(f", {METRICS[name].direction}") for name in METRICS)


def test_a_job_goes_where_the_tunnel_ends_unless_told_otherwise():
    assert submit_command.ADDRESS == DEFAULT_ADDRESS
