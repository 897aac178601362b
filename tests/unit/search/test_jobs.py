"""The jobs of a cluster, whose client is Ray's: here it is a stand-in, in end_to_end a real one."""

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bmtune.errors import BmtuneError
from bmtune.errors import ConfigError
from bmtune.errors import ResourceError
from bmtune.errors import RunFolderError
from bmtune.search import jobs
from bmtune.search.job_plan import JobPlan
from bmtune.search.job_plan import Shipped
from bmtune.search.jobs import Job
from bmtune.search.jobs import JobServer

URL = "http://127.0.0.1:8265"


def details(name: str, status: str = "RUNNING", run: str | None = "night", **more: Any) -> SimpleNamespace:
    """A job as Ray tells of it; times are milliseconds."""
    metadata = {} if run is None else {"bmtune_run": run, "bmtune_folder": f"~/outputs/{run}"}
    known = {"message": "", "driver_exit_code": None, "start_time": 1000, "end_time": None, **more}
    return SimpleNamespace(submission_id=name, status=SimpleNamespace(value=status), metadata=metadata, **known)


class Client:
    """Stands for Ray's client: remembers what it was asked."""

    def __init__(self) -> None:
        self.jobs: list[SimpleNamespace] = []
        self.submitted: dict[str, Any] = {}
        self.shipped: dict[str, bytes] = {}
        self.stopped: list[str] = []
        self.told: list[str] = []
        self.error: Exception | None = None

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def submit_job(self, **options: Any) -> str:
        self._answer()
        self.submitted = options
        folder = Path(options["runtime_env"]["working_dir"])
        self.shipped = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        return str(options["submission_id"])

    def list_jobs(self) -> list[SimpleNamespace]:
        self._answer()
        return self.jobs

    def get_job_info(self, name: str) -> SimpleNamespace:
        self._answer()
        return next(job for job in self.jobs if job.submission_id == name)

    def get_job_logs(self, name: str) -> str:
        return "".join(self.told)

    def stop_job(self, name: str) -> bool:
        self.stopped.append(name)
        return True

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        for text in self.told:
            yield text
        self._answer()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()
    monkeypatch.setattr(jobs, "_reach", lambda address: None)
    monkeypatch.setattr(jobs, "_client", lambda address: found)
    return found


def test_a_job_has_its_files_its_package_and_what_finds_it_again(client: Client, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("a space")
    plan = JobPlan(
        "night", "~/outputs", "python -m bmtune", (Shipped(tmp_path / "space.yaml", "x/s.yaml"),), {"BMTUNE_DATA": "d"}
    )
    job = JobServer(URL).submit(plan, tmp_path / "job")
    assert client.shipped == {"x/s.yaml": b"a space"}
    assert client.submitted["entrypoint"] == "python -m bmtune"
    environment = client.submitted["runtime_env"]
    assert environment["env_vars"] == {"BMTUNE_DATA": "d"}
    assert [Path(path).name for path in environment["py_modules"]] == ["bmtune"]
    assert client.submitted["metadata"] == {"bmtune_run": "night", "bmtune_folder": "~/outputs/night"}
    assert (job.run, job.folder, job.status) == ("night", "~/outputs/night", "PENDING")
    assert job.id.startswith("night-")
    # A run that goes on is another job.
    assert JobServer(URL).submit(plan, tmp_path / "again").id != job.id


def test_a_job_without_files_has_an_empty_folder(client: Client, tmp_path: Path) -> None:
    JobServer(URL).submit(JobPlan("n", "~/outputs", "x", (), {}), tmp_path / "job")
    assert client.submitted["runtime_env"]["working_dir"] == str(tmp_path / "job")
    assert client.shipped == {}


def test_a_run_is_its_newest_job_and_a_job_is_found_by_its_id_too(client: Client) -> None:
    client.jobs = [
        details("night-1", "FAILED", start_time=1000, end_time=9000, driver_exit_code=1, message="bad"),
        details("night-2", start_time=2000),
        details("other", run=None),
        SimpleNamespace(submission_id=None, metadata=None),
    ]
    server = JobServer(URL)
    assert server.find("night") == Job("night-2", "night", "~/outputs/night", "RUNNING", began=2.0)
    first = server.find("night-1")
    assert (first.status, first.exit_code, first.message, first.ended) == ("FAILED", 1, "bad", 9.0)
    assert first.has_ended
    assert (server.find("other").run, server.find("other").folder) == ("other", None)
    with pytest.raises(RunFolderError, match=r"none called 'day' \(it has had night, other\)"):
        server.find("day")


def test_the_log_is_handed_on_until_the_job_has_ended(client: Client) -> None:
    client.jobs, client.told = [details("n-1", "SUCCEEDED")], ["one\n", "two\n"]
    heard: list[str] = []
    job = JobServer(URL).follow(Job("n-1", "n", None, "RUNNING"), heard.append)
    assert (heard, job.status) == (["one\n", "two\n"], "SUCCEEDED")


def test_a_job_that_goes_on_is_waited_for_no_longer_than_that(client: Client) -> None:
    client.jobs = [details("n-1")]
    server = JobServer(URL)
    server.stop(server.find("n-1"))
    assert server.wait(server.find("n-1"), 0.0).status == "RUNNING"
    assert client.stopped == ["n-1"]


class AuthenticationError(Exception):
    """Called as Ray's is."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("Authentication required: Unauthorized"), ("got none", "RAY_AUTH_TOKEN")),
        (AuthenticationError("Authentication failed: Forbidden"), ("takes another token", "RAY_AUTH_TOKEN")),
        (ImportError("No module", name="aiohttp"), ("aiohttp is missing", "bmtune[cluster]")),
        (RuntimeError("The SDK require the ray[default] installation"), ("not installed", "bmtune[cluster]")),
        (RuntimeError("Request failed with\nstatus code 404"), ("Request failed with status code 404", "ray[default]")),
        (ConnectionError("Failed to connect"), ("Failed to connect", "--address")),
    ],
)
def test_what_ray_raises_is_one_sentence(client: Client, error: Exception, words: tuple[str, ...]) -> None:
    client.error = error
    server = JobServer(URL)
    for ask in (
        lambda: server.find("n"),
        lambda: server.follow(Job("n", "n", None, "RUNNING"), str),
        lambda: server.wait(Job("n", "n", None, "RUNNING"), 1.0),
    ):
        with pytest.raises(ResourceError) as caught:
            ask()
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize(
    "address", ["auto", "", "127.0.0.1", "ray://127.0.0.1:1", "ssh://x:1", "http://", "http://h:1/jobs", "http://h:x"]
)
def test_only_the_address_of_a_dashboard_is_one(client: Client, address: str) -> None:
    with pytest.raises(ConfigError, match=r"http://HOST:PORT.*command line: --address"):
        JobServer(address)


def test_a_password_in_an_address_is_refused_and_hidden(client: Client) -> None:
    with pytest.raises(BmtuneError) as caught:
        JobServer("http://user:secret@host:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "http://127.0.0.1:8265/"])
def test_a_scheme_is_added_and_a_slash_taken_away(client: Client, address: str) -> None:
    assert JobServer(address).address == URL


def test_nobody_who_does_not_answer_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ResourceError, match=rf"127.0.0.1:{port} does not .*ray dashboard cluster.yaml"):
        JobServer(f"http://127.0.0.1:{port}")


@pytest.mark.slow
def test_ray_goes_where_it_is_told_with_the_token_that_is_there_and_through_no_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ray.job_submission

    seen: list[dict[str, str]] = []

    class Seeing:
        def __init__(self, address: str) -> None:
            self.address = address
            seen.append(dict(os.environ))

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return method, endpoint, options

    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", Seeing)
    for name, value in {"RAY_ADDRESS": "http://elsewhere:1", "RAY_API_SERVER_ADDRESS": "x", "no_proxy": "h"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = jobs._client(URL)
    assert client.address == URL
    assert not {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE"} & seen[0].keys()
    assert seen[0]["NO_PROXY"] == seen[0]["no_proxy"] == "h,127.0.0.1"
    method, endpoint, options = client._do_request("GET", "/api/version")
    assert (method, endpoint) == ("GET", "/api/version")
    assert options["timeout"] > 0
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t")
    jobs._client(URL)
    assert seen[1]["RAY_AUTH_MODE"] == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    jobs._client(URL)
    assert seen[2]["RAY_AUTH_MODE"] == "disabled"
