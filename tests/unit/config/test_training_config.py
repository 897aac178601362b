import pytest
from pydantic import ValidationError

from bmtune.config.training import ClassificationConfig
from bmtune.config.training import GANStyleConfig


def test_what_is_watched_must_be_measured():
    with pytest.raises(ValidationError, match="stop_crit must be one of the metrics that are measured .acc., but got"):
        ClassificationConfig(metrics={"acc": 1}, stop_crit="loss")


def test_what_starts_retraining_must_be_measured_at_every_epoch():
    with pytest.raises(ValidationError, match="retrain_crit must be measured at every epoch"):
        GANStyleConfig(metrics={"acc": 2, "fid": 1})


def test_retraining_must_measure_its_goal():
    with pytest.raises(ValidationError, match="retrain.metrics must hold retrain_crit"):
        GANStyleConfig(retrain={"metrics": {"loss": 1}})


def test_the_guides_spelling_of_optimizer_and_criterion_is_understood():
    config = ClassificationConfig(
        criterion={"name": "negative log-likelihood", "kwargs": {"eps": 1e-8}},
        optimizer={"name": "adam", "kwargs": {"lr": 1e-4, "weight_decay": 0.0}},
    )
    assert config.optimizer.lr == 1e-4
    assert config.criterion.name == "negative log-likelihood"


def test_metrics_are_kept_as_pairs_and_written_as_a_mapping():
    config = ClassificationConfig(metrics={"acc": 1, "loss": 2, "fid": 10})
    assert config.metrics == (("acc", 1), ("loss", 2), ("fid", 10))
    assert config.model_dump()["metrics"] == {"acc": 1, "loss": 2, "fid": 10}


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_a_frequency_is_a_whole_number_of_epochs(every):
    with pytest.raises(ValidationError, match="whole number of epochs >= 1"):
        ClassificationConfig(metrics={"acc": 1, "loss": every})
