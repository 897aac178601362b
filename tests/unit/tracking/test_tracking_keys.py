import pytest

from bmtune.tracking import epoch_values
from bmtune.tracking import picture_path
from bmtune.tracking import test_values as summary_of_test
from bmtune.tracking.keys import epoch_times


def test_the_keys_are_those_of_the_trainer_guide():
    pre = epoch_values("pre", 3, {"train/loss": 0.1, "acc": 0.9, "rob/0.1": 0.5})
    assert pre == {"pre/train/loss": 0.1, "pre/valid/acc": 0.9, "pre/valid/rob/0.1": 0.5, "pre/epoch": 3}
    gan = epoch_values("gan", 1, {"train/g_loss": 0.7, "train/d_loss": 1.3, "start/acc": 0.8})
    assert gan == {"gan/train/g_loss": 0.7, "gan/train/d_loss": 1.3, "gan/start/acc": 0.8, "gan/epoch": 1}
    critic = epoch_values("critic", 2, {"train/d_loss": 1.3, "train/grad_norm": 0.2})
    assert critic == {"critic/train/d_loss": 1.3, "critic/train/grad_norm": 0.2, "critic/epoch": 2}
    assert summary_of_test("pre", {"acc": 0.9}) == {"pre/test/acc": 0.9}


def test_epoch_times_are_averages_and_retraining_counts_once():
    assert epoch_times({"pre": 4}, {"pre": 2.0}) == {"pre/avg_epoch_time_s": 0.5}
    times = epoch_times({"pre": 1, "critic": 4, "gan": 2, "re": 5}, {"pre": 1.0, "critic": 2.0, "gan": 3.0, "re": 1.0})
    assert times == {
        "pre/avg_epoch_time_s": 1.0,
        "critic/avg_epoch_time_s": 0.5,
        "gan/avg_epoch_time_total_s": 2.0,
        "gan/avg_epoch_time_no_retrain_s": 1.5,
    }
    assert epoch_times({}, {}) == {}


@pytest.mark.parametrize("other", [(8, "gan", 10, "viz"), (7, "pre", 10, "viz"), (7, "gan", 11, "viz")])
def test_every_picture_has_a_place_of_its_own(other):
    place = picture_path(7, "gan", 10, "viz")
    assert place == "checkpoints/trial-00007/pictures/viz-gan-00010.png"
    assert picture_path(*other) != place
