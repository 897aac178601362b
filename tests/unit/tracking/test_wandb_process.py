import os
import signal
import time
from types import SimpleNamespace

import pytest

from bmtune.errors import ConfigError
from bmtune.records import RecordWriter
from bmtune.tracking import WandbProcess
from bmtune.tracking import check_login
from bmtune.tracking import process
from bmtune.tracking.runs import RunFacts
from bmtune.tracking.service import WandbService
from bmtune.tracking.service import read_link


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """Whatever the machine's W&B account is, tests know of none."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def offline_runs(folder):
    return sorted(path.name[-5:] for path in (folder / "wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_offline_a_whole_search_becomes_files_without_a_network(run_folder, search_records):
    folder = run_folder(search_records)
    with WandbProcess(folder, "offline", patience_s=60) as writer:
        said = writer.finish()
    assert said == f"W&B runs are kept in {folder}/wandb; `wandb sync {folder}/wandb/offline-run-*` sends them"
    assert offline_runs(folder) == ["00000", "00001", "00002"]
    (file,) = (folder / "wandb").glob("offline-run-*-00000/run-*.wandb")
    content = file.read_bytes()
    for key in (b"gan/train/g_loss", b"gan/valid/fid", b"pre/train/loss", b"gan/test/acc", b"pre/avg_epoch_time_s"):
        assert key in content
    assert (folder / "wandb/sent-offline.txt").read_text().split() == ["1", "2", "0"]
    # A second writer over the same records has nothing left to send.
    with WandbProcess(folder, "offline", patience_s=60) as writer:
        writer.finish()
    assert len(offline_runs(folder)) == 3


@pytest.mark.slow
def test_a_writer_that_outlives_the_search_keeps_what_was_recorded(run_folder, search_records):
    folder = run_folder(search_records[:5])
    writer = WandbProcess(folder, "offline")
    with writer:
        pass
    # As when the search was killed: no word, only the end of the pipe.
    writer._process.wait(60)
    assert writer._process.returncode == 0
    assert offline_runs(folder) == ["00000", "00001"]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGSTOP, signal.SIGKILL])
def test_a_writer_that_stands_still_or_is_gone_delays_nothing(run_folder, search_records, sign):
    folder = run_folder([])
    with WandbProcess(folder, "offline", patience_s=0.3) as writer:
        os.kill(writer.pid, sign)
        longest, began = 0.0, time.monotonic()
        with RecordWriter(folder / "records.jsonl") as records:
            for record in search_records * 20:
                before = time.monotonic()
                records.write(record)
                longest = max(longest, time.monotonic() - before)
        written = time.monotonic() - began
        before = time.monotonic()
        said = writer.finish()
        waited = time.monotonic() - before
    assert longest < 1
    assert written < 5
    assert waited < 2
    expected = "within 0.3 s; process" if sign is signal.SIGSTOP else "failed with exit code -9"
    assert expected in said
    assert f"-m bmtune.tracking {folder} offline" in said
    if sign is signal.SIGSTOP:
        os.kill(writer.pid, signal.SIGKILL)
        writer._process.wait(10)


class RefusedError(Exception):
    pass


def fake_wandb(monkeypatch, init):
    module = SimpleNamespace(Error=RefusedError, init=init, Settings=lambda **values: values)
    monkeypatch.setitem(process.sys.modules, "wandb", module)


def test_where_wandb_cannot_be_reached_runs_are_kept_and_the_user_told(monkeypatch, tmp_path):
    asked, told = [], []

    def init(**options):
        asked.append((options["mode"], options["resume"], options["id"]))
        if options["mode"] == "online":
            raise RefusedError("no route\nto host")
        return SimpleNamespace(finish=lambda exit_code: None)

    fake_wandb(monkeypatch, init)
    service = WandbService(tmp_path, "online", told.append)
    facts = RunFacts(id="i", name="n", group="g", config={})
    for _ in range(2):
        service.finish(service.open(facts), 0)
    assert asked == [("online", "allow", "i"), ("offline", None, "i-kept"), ("offline", None, "i")]
    (sentence,) = told
    assert sentence.startswith("W&B could not be reached (no route); from here on runs are kept in")


def test_a_run_that_takes_too_long_is_left_to_sync(monkeypatch, tmp_path):
    told = []

    def finish(exit_code):
        raise TimeoutError

    url = "https://wandb.example/me/bmtune/runs/i"
    fake_wandb(monkeypatch, lambda **options: SimpleNamespace(finish=finish, url=url))
    service = WandbService(tmp_path, "online", told.append)
    service.finish(service.open(RunFacts(id="i", name="n", group="g", config={})), 0)
    assert service.mode == "offline"
    assert "wandb sync" in told[0]
    assert read_link(tmp_path) == "https://wandb.example/me/bmtune/groups/g"


def test_the_settings_keep_wandb_silent_and_out_of_the_way(monkeypatch, tmp_path):
    seen = {}
    fake_wandb(monkeypatch, lambda **options: seen.update(options))
    WandbService(tmp_path, "offline", print).open(RunFacts(id="i", name="n", group="g", config={"a": 1}))
    assert (seen["reinit"], seen["group"], seen["id"], seen["project"]) == ("create_new", "g", "i", "bmtune")
    silent = {"silent": True, "console": "off", "x_disable_stats": True, "x_disable_meta": True}
    assert silent.items() <= seen["settings"].items()
    assert {"save_code": False, "disable_git": True}.items() <= seen["settings"].items()


def test_offline_needs_no_account_and_does_not_import_wandb(monkeypatch):
    monkeypatch.setitem(process.sys.modules, "wandb", None)
    check_login("offline")
    with pytest.raises(ImportError):
        check_login("online")


def test_online_without_a_key_is_one_sentence(monkeypatch):
    def login(*, verify):
        assert not verify
        raise RefusedError("No API key configured.")

    monkeypatch.setitem(process.sys.modules, "wandb", SimpleNamespace(Error=RefusedError, login=login))
    with pytest.raises(ConfigError, match=r"needs an API key, but No API key configured \(command line: --wandb\)"):
        check_login("online")
