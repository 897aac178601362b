"""Which value of --storage is an address, and that no secret is in one."""

from pathlib import Path

import pytest

from bmtune.errors import ConfigError
from bmtune.search.copy_address import below
from bmtune.search.copy_address import local_storage
from bmtune.search.copy_address import storage_of


def test_a_folder_has_no_copy():
    assert storage_of("a/b") == (Path("a/b"), None)


def test_an_address_has_a_folder_of_its_own_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder, address = storage_of("s3://bucket/runs/")
    assert address == "s3://bucket/runs"
    assert folder.parent == tmp_path / "bmtune" / "runs"
    assert folder.name.startswith("s3-bucket-runs-")
    assert storage_of("s3://bucket/runs")[0] == folder
    others = {local_storage(text) for text in ("s3://bucket-runs", "s3://bucket/runs?region=x", "gs://bucket/runs")}
    assert len(others | {folder}) == 4


@pytest.mark.parametrize(
    "address",
    ["s3://key:hidden@bucket/runs", "s3://hidden@bucket", "s3://b/r?secret_key=hidden", "abfs://c/x?token=hidden"],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(address: str):
    with pytest.raises(ConfigError, match="must hold neither a user nor a secret, but got") as caught:
        storage_of(address)
    assert "hidden" not in str(caught.value)


def test_the_address_of_a_run_is_told_without_parameters():
    assert below("s3://bucket/runs?endpoint_override=localhost:9000", "night") == "s3://bucket/runs/night"
