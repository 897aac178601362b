"""No secret of the environment or of an address reaches a run folder, a log or a message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CANARIES = {
    "WANDB_API_KEY": "canary0wandb0" + "a" * 27,
    "RAY_AUTH_TOKEN": "canary-of-ray-0123456789abcdef0123456789",
    "AWS_SECRET_ACCESS_KEY": "canary/of+aws",
    "DATABASE_PASSWORD": "canary-of-a-database",
}
SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 2, max_epochs: 2, eta: 3, grace: 1}
base: {data: {dataset: iris}}
run: {max_concurrent: 1, wandb: offline}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
"""
# A program whose search leaves Ray's own logs, which bmtune would remove, in a folder that the test reads.
PROGRAM = """
import shutil, sys
from pathlib import Path
import bmtune.search.cluster as cluster

def keep(path, ignore_errors):
    if Path(path).exists():
        shutil.copytree(path, "ray-logs", ignore=lambda top, names: [n for n in names if Path(top, n).is_socket()])
    shutil.rmtree(path, ignore_errors=ignore_errors)

cluster.shutil = type("Kept", (), {"rmtree": staticmethod(keep)})
from bmtune.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def run(folder: Path, *arguments: str, program: str | None = None) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    start = ["-m", "bmtune"] if program is None else ["-c", program]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=folder,
        env=plain | CANARIES,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def leaks(text: bytes) -> list[str]:
    return [name for name, value in CANARIES.items() if value.encode() in text]


def test_a_search_leaves_no_secret_anywhere(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    done = run(tmp_path, "search", "classification", "--space", "space.yaml", "--name", "run", program=PROGRAM)
    assert (done.returncode, leaks(done.stderr.encode())) == (0, [])
    assert leaks(done.stdout.encode()) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    kinds = {path.name for path in files}
    assert {"records.jsonl", "search.yaml", "best.yaml", "study.db", "gcs_server.out"} <= kinds
    assert [path for path in files if "wandb" in path.parts]
    assert {str(path): found for path in files if (found := leaks(path.read_bytes()))} == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "gan", "--storage", "s3://key:{}@bucket/runs"),
        ("search", "gan", "--pre-cache", "s3://key:{}@bucket/runs"),
        ("search", "gan", "--address", "ray://user:{}@127.0.0.1:1"),
        ("search", "gan", "--space", "https://user:{}@host/space.yaml"),
        ("search", "gan", "--dry-run", "--dataset", "postgresql://user:{}@host/rows.csv"),
        ("best", "s3://key:{}@bucket/run"),
        ("evaluate", "s3://key:{}@bucket/run"),
        ("train", "https://host/best.yaml?token={}"),
        ("data", "check", "s3://key:{}@bucket/rows.npz"),
    ],
)
def test_an_address_in_a_message_has_no_password(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    secret = "hidden/part+of-it"
    done = run(tmp_path, *(word.format(secret) for word in arguments))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "***" in done.stderr
    assert "part+of-it" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
