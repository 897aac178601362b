"""Whose code a Ray cluster runs; real clusters are asked in end_to_end."""

import json
import socket
import subprocess
from typing import Any

import pytest

from bmtune.errors import ResourceError
from bmtune.search import exposure
from bmtune.search import probe
from bmtune.search.exposure import Exposure
from bmtune.search.exposure import check_exposure
from bmtune.search.exposure import look_at
from bmtune.search.exposure import takes_our_token

HERE = "127.0.0.1:6379"
THERE = "10.0.0.1:6379"


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "found",
    [
        Exposure(HERE, beyond=False, asks_for_token=False),
        Exposure(HERE, beyond=False, asks_for_token=None),
        Exposure(THERE, beyond=True, asks_for_token=True),
        Exposure(THERE, refusal="Connection refused"),
    ],
)
def test_a_cluster_that_is_closed_or_not_there_passes_without_a_word(found: Exposure, allowed: bool) -> None:  # noqa: FBT001
    assert check_exposure(found, {}, allowed=allowed) is None


@pytest.mark.parametrize("asks", [False, None])
def test_an_open_cluster_is_refused_and_the_sentence_names_risk_and_way_out(asks: bool | None) -> None:  # noqa: FBT001
    with pytest.raises(ResourceError) as caught:
        check_exposure(Exposure(THERE, asks_for_token=asks), {}, allowed=False)
    for word in (THERE, "CVE-2023-48022", "runs code", "RAY_AUTH_MODE=token", "--allow-open-cluster"):
        assert word in str(caught.value)


def test_an_open_cluster_that_is_allowed_gives_a_warning() -> None:
    warning = check_exposure(Exposure(THERE, asks_for_token=False), {}, allowed=True)
    assert warning is not None
    assert "runs code" in warning
    assert THERE in warning


def test_certificates_are_as_good_as_a_token_unless_a_stranger_was_let_in() -> None:
    tls = {"RAY_USE_TLS": "1"}
    assert check_exposure(Exposure(THERE, asks_for_token=None), tls, allowed=False) is None
    with pytest.raises(ResourceError):
        check_exposure(Exposure(THERE, asks_for_token=False), tls, allowed=False)


def test_secrets_in_an_address_are_hidden() -> None:
    with pytest.raises(ResourceError, match=r"ray://\*\*\*@host:1") as caught:
        check_exposure(look_at("ray://user:secret@host:1"), {}, allowed=False)
    assert "secret" not in str(caught.value)


class Process:
    """Stands for the process that looks: remembers how it was started, and prints what it is told to print."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
        self.printed = printed
        self.environments: list[dict[str, str]] = []
        monkeypatch.setattr(exposure.subprocess, "run", self)

    def __call__(self, command: list[str], env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.environments.append(env)
        return subprocess.CompletedProcess(command, 0, self.printed, "")


def test_the_stranger_has_no_token_and_we_have_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS"):
        monkeypatch.setenv(name, "canary-value")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    found = Exposure(THERE, beyond=True, asks_for_token=True)
    process = Process(monkeypatch, f"a line of Ray\n{json.dumps(found._asdict())}\n")
    assert look_at(THERE) == found
    assert not takes_our_token(found)
    stranger, ours = process.environments
    assert "canary-value" not in stranger.values()
    assert stranger["RAY_AUTH_MODE"] == "disabled"
    assert (ours["RAY_AUTH_MODE"], ours["RAY_AUTH_TOKEN"]) == ("token", "canary-value")


@pytest.mark.parametrize("printed", ["", "nothing", "[]", '{"address": 1, "more": 2}'])
def test_an_answer_that_is_none_counts_as_open(monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    process = Process(monkeypatch, printed)
    found = look_at(THERE)
    assert len(process.environments) == 1
    assert (found.beyond, found.asks_for_token) == (True, None)


def test_a_port_is_told_by_where_it_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not probe.answers_beyond(port)
    assert not probe.answers_beyond(0)


def test_a_port_that_others_reach_is_seen() -> None:
    hosts = probe.outward_hosts()
    if not hosts:
        pytest.skip("this machine has no network that could reach it")
    with socket.create_server((hosts[0], 0), family=socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET) as server:
        assert probe.answers_beyond(server.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", False), ("0.0.0.0", False)]
)
def test_loopback_is_told_by_the_address(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert probe.is_loopback(host) is loopback
