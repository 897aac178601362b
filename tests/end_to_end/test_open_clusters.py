"""Ray clusters that other processes started, with and without a token; all of them on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmtune.records import Notice
from bmtune.records import read_records
from bmtune.search.probe import outward_hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TOKEN = "canary-of-the-cluster-0123456789abcdef"
PATIENCE_S = 90.0
SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 2, max_epochs: 2, eta: 3, grace: 1}
base: {data: {dataset: iris}}
run: {max_concurrent: 1}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
"""


def environment(**more: str) -> dict[str, str]:
    """That of a user, who does not have what the tests set for their own cluster."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return {**plain, "RAY_USAGE_STATS_ENABLED": "0", **more}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def head(folder: Path, mode: str) -> Iterator[str]:
    """A head node on loopback, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    options = ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-cpus=1", f"--temp-dir={folder}"]
    given = environment(RAY_AUTH_MODE=mode, RAY_AUTH_TOKEN=TOKEN, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    with (folder.with_suffix(".log")).open("wb") as log:
        process = subprocess.Popen(
            [*command, *options], env=given, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(int(PATIENCE_S / 0.2)):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"no cluster at {address} within {PATIENCE_S} s")


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One cluster that asks for a token and one that does not."""
    # Ray's sockets have long names and the operating system allows 107 characters.
    folder = tmp_path_factory.mktemp("h")
    with ExitStack() as stack:
        found = {mode: stack.enter_context(head(folder / mode, mode)) for mode in ("token", "disabled")}
        for address in found.values():
            wait_for(address)
        yield found


def search(folder: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "space.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "bmtune.search", "classification", "--space", "space.yaml", "--name", "run"]
    command += ["--confirm", "none"]
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not (folder / "outputs").exists()


def test_a_cluster_that_asks_for_a_token_is_joined_with_it(clusters: dict[str, str], tmp_path: Path) -> None:
    done = search(tmp_path, "--address", clusters["token"], RAY_AUTH_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    records = read_records(tmp_path / "outputs" / "run" / "records.jsonl").records
    assert not [record for record in records if isinstance(record, Notice)]
    assert TOKEN not in done.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize("more", [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-wrong-one-0123456789"}])
def test_without_its_token_one_sentence_says_how_to_give_it(
    clusters: dict[str, str], tmp_path: Path, more: dict[str, str]
) -> None:
    done = search(tmp_path, "--address", clusters["token"], **more)
    assert_refused(done, tmp_path, clusters["token"], "RAY_AUTH_TOKEN", "--address")


def test_a_cluster_without_a_token_that_others_reach_is_refused(clusters: dict[str, str], tmp_path: Path) -> None:
    hosts = [host for host in outward_hosts() if ":" not in host]
    if not hosts:
        pytest.skip("this machine has no network that could reach it")
    port = int(clusters["disabled"].partition(":")[2])
    # The cluster itself stays on loopback: what answers to others on its port here is only a socket.
    with socket.create_server((hosts[0], port)):
        done = search(tmp_path, "--address", clusters["disabled"])
    assert_refused(
        done, tmp_path, clusters["disabled"], "CVE-2023-48022", "RAY_AUTH_MODE=token", "--allow-open-cluster"
    )


def test_where_nothing_answers_one_sentence_says_so(tmp_path: Path) -> None:
    done = search(tmp_path, "--address", f"127.0.0.1:{free_port()}")
    assert_refused(done, tmp_path, "Connection refused", "--address")


def test_a_cluster_of_ones_own_is_on_loopback_and_refuses_strangers(ray_cluster: object) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "bmtune.search.probe", address]
    given = environment(RAY_AUTH_MODE="disabled", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f'{{"address": "{address}", "beyond": false, "asks_for_token": true, "refusal": null}}\n'


@pytest.mark.skipif(sys.platform != "linux", reason="the open ports of other processes are read from /proc")
def test_no_process_of_a_local_search_listens_beyond_loopback(ray_cluster: object) -> None:
    import ray

    # So that there is a worker too.
    assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
    ours = _with_descendants(os.getpid())
    sockets = {inode for pid in ours for inode in _inodes(pid)}
    listening = [address for address, inode in _listening() if inode in sockets]
    # The driver, the control store, the node's daemon and a worker.
    assert len(listening) >= 4
    assert set(listening) <= LOOPBACKS


LOOPBACKS = {"0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1, as Linux writes them."""


def _with_descendants(pid: int) -> set[int]:
    """The numbers of a process and of all that it and its children started."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                # Behind the name in brackets: the state, and the parent.
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                # It has ended.
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _inodes(pid: int) -> Iterator[str]:
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return


def _listening() -> Iterator[tuple[str, str]]:
    """Address and inode of each TCP socket that listens."""
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                yield fields[1].partition(":")[0], fields[9]
