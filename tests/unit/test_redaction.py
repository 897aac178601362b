import time

import pytest

from bmtune.errors import ConfigError
from bmtune.redaction import one_line
from bmtune.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/a", "s3://***@bucket/a"),
        ("s3://key:se/cr+et@bucket", "s3://***@bucket"),
        ("s3:/key:secret@bucket", "s3:/***@bucket"),
        ("no postgresql://user:pw@host/db here", "no postgresql://***@host/db here"),
        ("ray://host:10001", "ray://host:10001"),
        ("https://host/a?token=abc&b=1", "https://host/a?token=***&b=1"),
        ("RAY_AUTH_TOKEN=abc", "RAY_AUTH_TOKEN=***"),
        ("x.api_key=5, secret_access_key='6'", "x.api_key=***, secret_access_key='6'"),
        ("RAY_AUTH_MODE=token, or a token", "RAY_AUTH_MODE=token, or a token"),
        ("write to me@example", "write to me@example"),
    ],
)
def test_secrets_in_addresses_are_hidden(text: str, shown: str):
    assert redacted(text, {}) == shown


def test_the_values_of_secret_variables_are_hidden():
    environment = {
        "WANDB_API_KEY": "canary-1",
        "RAY_AUTH_TOKEN": "canary-1-and-more",
        "DB_PASSWORD": "canary-3",
        "PWD": "/home/user/work",
        "RAY_AUTH_TOKEN_PATH": "/home/user/token",
        "SHORT_TOKEN": "abc",
    }
    text = "canary-1 canary-1-and-more canary-3 /home/user/work /home/user/token abc"
    assert redacted(text, environment) == "*** *** *** /home/user/work /home/user/token abc"


def test_the_variables_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary-value")
    assert redacted("a canary-value") == "a ***"


def test_an_error_shows_neither_secrets_nor_control_characters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary-value")
    error = ConfigError("got s3://a:b@c\x1b[2J\nand \u202ecanary-value")
    assert str(error) == r"got s3://***@c\x1b[2J\nand \u202e***"


def test_text_without_control_characters_stays_as_it_is():
    assert one_line("größer, 数据 and 'quotes'") == "größer, 数据 and 'quotes'"


@pytest.mark.parametrize("text", ["x" * 200_000, "a:/" * 50_000 + "@", "token" * 40_000, "pwd." * 50_000])
def test_long_texts_take_no_time(text: str):
    began = time.process_time()
    redacted(text, {})
    # A hang would be minutes: this is no measurement.
    assert time.process_time() - began < 10
