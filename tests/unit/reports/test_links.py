import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from pathlib import Path

import pytest

from bmtune.reports.links import links
from bmtune.tracking.service import write_link


class Answers(BaseHTTPRequestHandler):
    """What Ray's dashboard says; it is told by the server which of its answers."""

    def do_GET(self) -> None:
        status, body = self.server.says  # type: ignore[attr-defined]
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.says, server.asked = (200, b'{"ray_version": "2.60.0"}'), []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [(200, b'{"ray_version": "2.60.0"}', True), (401, b"", True), (200, b"<html>", False), (404, b"", False)],
)
def test_ray_is_named_where_it_answers(ray: HTTPServer, tmp_path: Path, status: int, body: bytes, *, found: bool):
    ray.says = (status, body)  # type: ignore[attr-defined]
    expected = [f"Ray: http://127.0.0.1:{ray.server_port}"] if found else []
    assert list(links(tmp_path)) == expected
    assert ray.asked == ["/api/version"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "file:///etc/passwd", "http://[", ""])
def test_an_address_that_is_none_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", address)
    assert list(links(tmp_path)) == []


@pytest.mark.usefixtures("nowhere")
def test_tensorboard_is_named_where_there_is_something_for_it(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "events.out.tfevents.1.host").touch()
    assert list(links(tmp_path)) == [f"TensorBoard: tensorboard --logdir {tmp_path}"]


@pytest.mark.usefixtures("nowhere")
def test_wandb_is_named_where_the_search_told_it_something(tmp_path: Path):
    write_link(tmp_path, "https://wandb.example/me/bmtune/runs/abc", "a night")
    assert list(links(tmp_path)) == ["Weights & Biases: https://wandb.example/me/bmtune/groups/a%20night"]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("url", [None, "nothing"])
def test_wandb_offline_has_no_page(tmp_path: Path, url: str | None):
    write_link(tmp_path, url, "night")
    assert list(links(tmp_path)) == []
