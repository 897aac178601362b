import subprocess
import sys
from types import SimpleNamespace

import pytest

from bmtune.evaluation.pictures import _figure
from bmtune.evaluation.pictures import _png
from bmtune.tracking import NullSink
from bmtune.tracking import active_sink
from bmtune.tracking import epoch_values


class Run:
    def __init__(self):
        self.logged, self.defined, self.summary = [], {}, {}

    def log(self, values, step=None):
        self.logged.append((values, step))

    def define_metric(self, name, **options):
        self.defined[name] = options


@pytest.fixture
def user_run(monkeypatch):
    run = Run()
    module = SimpleNamespace(run=run, Image=lambda image: ("image", image.size))
    monkeypatch.setitem(sys.modules, "wandb", module)
    return run


def test_values_go_to_the_run_that_the_user_began(user_run):
    sink = active_sink()
    sink.log({"pre/train/loss": 0.5, "pre/valid/acc": 0.9, "pre/epoch": 1}, 1)
    sink.log({"pre/train/loss": 0.4, "pre/epoch": 2}, 2)
    sink.summary({"pre/test/acc": 0.8})
    sink.close()
    assert user_run.logged[1] == ({"pre/train/loss": 0.4, "pre/epoch": 2}, None)
    assert len(user_run.logged) == 2
    assert user_run.summary == {"pre/test/acc": 0.8}
    assert user_run.defined["pre/train/loss"] == {"summary": "none", "step_metric": "pre/epoch"}
    assert user_run.defined["pre/valid/acc"] == {"step_metric": "pre/epoch"}
    assert user_run.defined["pre/epoch"] == {"summary": "none"}


def test_the_curves_of_the_critic_alone_are_drawn_over_its_own_epochs(user_run):
    active_sink().log(epoch_values("critic", 1, {"train/d_loss": 1.4, "train/grad_norm": 0.1}), 1)
    assert user_run.defined == {
        "critic/train/d_loss": {"summary": "none", "step_metric": "critic/epoch"},
        "critic/train/grad_norm": {"summary": "none", "step_metric": "critic/epoch"},
        "critic/epoch": {"summary": "none"},
    }


def test_a_picture_is_an_image_of_the_run(user_run):
    active_sink().picture("pre/viz", _png(_figure(1.0, 2.0)), 1)
    assert user_run.logged == [({"pre/viz": ("image", (110, 220))}, None)]


def test_without_a_run_nothing_listens(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None))
    sink = active_sink()
    assert isinstance(sink, NullSink)
    sink.log({"a": 1.0}, 1)
    sink.summary({"a": 1.0})
    sink.picture("a", b"", 1)
    sink.close()


@pytest.mark.slow
def test_looking_for_a_run_imports_neither_wandb_nor_torch():
    look = "import sys; from bmtune.tracking import active_sink; active_sink();"
    code = f"{look} sys.exit(bool({{'wandb', 'torch'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
