"""cluster.yaml and deploy/: valid for Ray, closed to strangers, and made of commands that exist."""

import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from bmtune import __version__

# Importing Ray's command line takes a second.
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text()
ORDINARY = {"chmod", "test", "python3", "grep", "echo", "export", "ulimit", "apt-get", "cd", "kubectl", "sbatch"}
"""Programs whose words are not checked."""

Split = Callable[[str], list[list[str]]]
Parse = Callable[[Sequence[str]], str]


def marked(name: str) -> str:
    """The lines between `>>> name` and `<<< name`."""
    found = re.search(rf"^# >>> {name}\n(.*?)^# <<< {name}$", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def with_machines_that_are_there() -> str:
    """The file after what its comment says for machines that are already there."""
    aws, local = marked("aws"), marked("local")
    hidden = "".join(f"#{line}" for line in aws.splitlines(keepends=True))
    shown = "".join(line[2:] if len(line) > 2 else "\n" for line in local.splitlines(keepends=True))
    return TEXT.replace(aws, hidden).replace(local, shown)


VARIANTS = {"aws": TEXT, "local": with_machines_that_are_there()}


@pytest.fixture(params=sorted(VARIANTS))
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VARIANTS[request.param])
    assert found["provider"]["type"] == request.param
    return found


def commands(config: dict[str, Any]) -> Iterator[str]:
    for key, lines in config.items():
        if key.endswith("_commands"):
            yield from lines


def test_ray_takes_the_file_in_both_variants(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config
    from ray.autoscaler._private.util import validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    # What Ray fills in where a file says nothing opens the dashboard to everybody.
    for key in ("head_start_ray_commands", "worker_start_ray_commands", "setup_commands"):
        assert key in config


def test_ray_refuses_a_file_that_is_wrong() -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config
    from ray.autoscaler._private.util import validate_config

    wrong = yaml.safe_load(TEXT) | {"idle_timeout_minuets": 3}
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minuets"):
        validate_config(prepare_config(wrong))


def test_every_command_exists_with_its_options(
    config: dict[str, Any], simple_commands: Split, parse_command: Parse
) -> None:
    programs = [parse_command(words) for line in commands(config) for words in simple_commands(line)]
    assert set(programs) <= ORDINARY | {"ray", "pip"}
    assert programs.count("ray") == 4
    assert "pip" in programs


def test_the_commands_in_the_comments_exist(simple_commands: Split, parse_command: Parse) -> None:
    lines = re.findall(r"^#   ((?:ray|bmtune|pip) .*?)(?:  +#.*)?$", TEXT, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        for words in simple_commands(line):
            parse_command(words)


def test_no_trial_runs_on_the_head_and_machines_with_gpus_come_when_they_are_needed(config: dict[str, Any]) -> None:
    (start,) = (line for line in config["head_start_ray_commands"] if "--head" in line)
    assert "--num-cpus=0" in start.split()
    assert "--num-gpus=0" in start.split()
    if config["provider"]["type"] == "aws":
        types = config["available_node_types"]
        head = types.pop(config["head_node_type"])
        assert head["resources"] == {"CPU": 0, "GPU": 0}
        assert [(kind["min_workers"], kind["resources"]["GPU"]) for kind in types.values()] == [(0, 1)]


def test_every_process_asks_for_the_token_and_the_dashboard_stays_on_loopback(config: dict[str, Any]) -> None:
    starts = [
        line
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for line in config[key]
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line.split(";")[0] for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0].split()
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN=" not in TEXT


def test_what_is_copied_is_what_installing_needs(config: dict[str, Any]) -> None:
    mounts = config["file_mounts"]
    copied = {source for target, source in mounts.items() if target == f"~/bmtune/{source}"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert copied == needed
    assert Path(project["tool"]["hatch"]["version"]["path"]).parts[0] in copied
    assert all((ROOT / source).exists() for source in copied)


RECORDER = """#!/usr/bin/env python3
import json, os, sys, time
name = os.path.basename(sys.argv[0])
with open(os.environ["CALLS"], "a") as file:
    known = [os.environ.get(variable) for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")]
    file.write(json.dumps([name, sys.argv[1:], *known]) + "\\n")
if name == "scontrol":
    print("node1\\nnode2\\nnode3")
if name == "srun" and "hostname" in sys.argv:
    print("10.0.0.1 fe80::1")
if name == "bmtune":
    # What the script began beside it ends with it, and is to have come this far.
    for _ in range(300):
        if open(os.environ["CALLS"]).read().count('"--block"') == 2:
            break
        time.sleep(0.1)
    sys.exit(3)
"""


@pytest.fixture
def slurm_calls(tmp_path: Path) -> list[tuple[str, list[str], str | None, str | None]]:
    """What deploy/slurm.sh calls, on three machines that are not there."""
    import json

    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("srun", "scontrol", "ray", "bmtune"):
        (programs / name).write_text(RECORDER)
        (programs / name).chmod(0o755)
    (programs / "activate").touch()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    given = {
        "PATH": f"{programs}:{plain['PATH']}",
        "BMTUNE_ENV": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "71234",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "4",
    }
    command = ["bash", str(ROOT / "deploy" / "slurm.sh"), "gan", "--trials", "64", "--name", "my night"]
    done = subprocess.run(command, env=plain | given, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, ""), "the search's exit code is the script's"
    return [tuple(json.loads(line)) for line in (tmp_path / "calls").read_text().splitlines()]


def test_the_slurm_script_starts_a_head_workers_and_the_search(
    slurm_calls: list[tuple[str, list[str], str | None, str | None]], parse_command: Parse
) -> None:
    starts = [words[words.index("ray") :] for name, words, *_ in slurm_calls if name == "srun" and "ray" in words]
    (search,) = ([name, *words] for name, words, *_ in slurm_calls if name == "bmtune")
    asked = [[name, *words] for name, words, *_ in slurm_calls if name == "ray"]
    for words in (*starts, *asked, ["bmtune", "search", *search[2:]]):
        parse_command(words)
    head, workers = sorted(starts, key=lambda words: "--head" not in words)
    assert {"--port=31234", "--node-ip-address=10.0.0.1", "--num-cpus=8", "--num-gpus=4", "--block"} <= set(head)
    assert {"--address=10.0.0.1:31234", "--num-cpus=8", "--num-gpus=4", "--block"} <= set(workers)
    assert search[1:] == ["search", "gan", "--trials", "64", "--name", "my night", "--address=10.0.0.1:31234"]
    (others,) = (words for name, words, *_ in slurm_calls if name == "srun" and "--nodes=2" in words)
    assert others[others.index("-w") + 1] == "node2,node3"


def test_the_slurm_script_makes_a_token_that_is_on_no_command_line(
    slurm_calls: list[tuple[str, list[str], str | None, str | None]],
) -> None:
    (token,) = {token for name, _, _, token in slurm_calls if name in ("srun", "ray", "bmtune")}
    assert {mode for name, _, mode, _ in slurm_calls if name in ("srun", "ray", "bmtune")} == {"token"}
    assert token is not None
    assert re.fullmatch(r"[0-9a-f]{64}", token)
    assert not [words for _, words, *_ in slurm_calls if token in " ".join(words)]


def test_the_slurm_script_is_shell() -> None:
    done = subprocess.run(
        ["bash", "-n", str(ROOT / "deploy" / "slurm.sh")], capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_rayjob_runs_a_search_that_exists_on_a_cluster_with_a_token(parse_command: Parse) -> None:
    import shlex

    import ray
    from ray.scripts.scripts import cli

    text = (ROOT / "deploy" / "rayjob.yaml").read_text()
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = shlex.split(job["spec"]["entrypoint"])
    assert parse_command(words) == "bmtune"
    assert words[words.index("--address") + 1] == "auto"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    options = {option.removeprefix("--") for parameter in cli.commands["start"].params for option in parameter.opts}
    head, (gpu,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert {*head["rayStartParams"], *gpu["rayStartParams"]} <= options
    assert head["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert gpu["minReplicas"] == 0
    # A run outlives the cluster only on storage that all pods have at that place.
    storage = words[words.index("--storage") + 1]
    pods = [group["template"]["spec"] for group in (head, gpu)]
    assert [pod["containers"][0]["volumeMounts"][0]["mountPath"] for pod in pods] == [storage, storage]
    assert {pod["containers"][0]["image"] for pod in pods} == {f"bmtune:{__version__}"}
    # One version of Ray in all files; that of this environment is one that bmtune allows, as this one must be.
    pinned = set(re.findall(r"(?:==|ray:|rayVersion: \")(\d+\.\d+\.\d+)", text + TEXT))
    assert len(pinned) == 1
    assert (2, 55) <= tuple(map(int, pinned.pop().split(".")[:2])) <= tuple(map(int, ray.__version__.split(".")[:2]))


def test_every_command_of_the_page_exists(simple_commands: Split, parse_command: Parse) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "cluster.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 15
    programs = set()
    for line in lines:
        for words in simple_commands(line):
            programs.add(parse_command(words))
            if words[:2] == ["ray", "exec"]:
                # What is to run on the head is one word.
                programs.add(parse_command(words[-1].split()))
    assert programs == {"bmtune", "kubectl", "pip", "ray", "sbatch"}
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "docs" / "cluster.md").read_text())
    assert targets
    assert [target for target in targets if not (ROOT / "docs" / target).exists() and target != "scaling.md"] == []
    assert (ROOT / "deploy" / "slurm.sh").stat().st_mode & 0o111
