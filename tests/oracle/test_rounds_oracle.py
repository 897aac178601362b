"""Trials that a host trains together, while some pause, go on elsewhere, end or begin, against themselves alone."""

import pytest

from bmtune.config.root import TrialConfig
from bmtune.search.rounds import GoOn
from bmtune.search.rounds import Rounds
from bmtune.search.rounds import Start
from bmtune.search.rounds import Stop
from bmtune.search.solo import SoloTraining
from bmtune.search.solo import Together
from bmtune.search.trial_run import Task

EPOCHS, RUNGS = 5, (1, 3)
PHASES = {
    "classification": {"pre"},
    "generative": {"gen"},
    "adversarial": {"adv"},
    "gan": {"pre", "critic", "gan", "re"},
}


class AllTogether(Together):
    """The real packs, of any width, and how wide each was."""

    def __init__(self):
        super().__init__()
        self.widths = []

    def width(self, trainings):
        return len(trainings)

    def advance(self, trainings):
        self.widths.append(len(trainings))
        return super().advance(trainings)


class Driven:
    """Rounds whose reports are carried out at once; the epochs of each trial by phase and number."""

    def __init__(self, folder, configs):
        self.folder, self.configs = folder, configs
        self.packing = AllTogether()
        self.rounds = Rounds(SoloTraining, self.packing, self.take)
        self.trials, self.waiting, self.ended = {}, set(), set()
        self.epochs = {trial: {} for trial in range(len(configs))}

    def take(self, told):
        if told.due is None:
            return
        report = told.due.carry_out()
        if told.due.waits:
            self.waiting.add(told.lane)
        if report.end is not None:
            assert report.end.status == "completed", report.end
            self.ended.add(self.trials[told.lane])
        for epoch in report.epochs:
            before = self.epochs[epoch.trial].setdefault((epoch.phase, epoch.epoch), epoch)
            # Who goes on from a checkpoint tells again what the records may lack.
            assert before == epoch

    def start(self, lane, trial):
        self.trials[lane] = trial
        task = Task(
            trial=trial, config=self.configs[trial], run_folder=str(self.folder), rungs=RUNGS, report_every_s=0.0
        )
        self.rounds.apply(Start(lane, task.model_dump_json()))

    def until_all_wait(self, between=lambda: None):
        while self.rounds.has_work:
            self.rounds.round(between)

    def go_on(self, *lanes):
        for lane in lanes:
            self.waiting.remove(lane)
            self.rounds.apply(GoOn(lane))


def configs(recipe):
    """Four trials whose pack is padded along both axes; all that may differ does."""
    found = []
    for number in range(4):
        rate = {"lr": 1e-3 * (1 + number), "lr_decay": 0.01 * number}
        raw = {
            "recipe": recipe,
            "seed": number,
            "data": {"dataset": "moons_small"},
            "born": {
                "bond_dim": 3 + number,
                "physical_dim": 5 - number % 2,
                "init_std": 0.05 * (1 + number),
                "dtype": "float64",
            },
            "trainer": {
                "classification": {"max_epoch": EPOCHS, "batch_size": 60, "optimizer": rate},
                "generative": {"max_epoch": EPOCHS, "batch_size": 60, "optimizer": rate},
                "adversarial": {"max_epoch": EPOCHS, "batch_size": 60, "optimizer": rate, "attack": {"steps": 2}},
                "ganstyle": {
                    "max_epoch": EPOCHS,
                    "optimizer": rate,
                    "sampling": {"num_per_class": 40, "num_bins": 12},
                    "critic": {"steps": 1, "min_width": 8, "width_multipliers": [1.0], "pretrain_epochs": 1},
                    # Every game of the last two is followed by retraining.
                    "tolerance": 0.0 if number > 1 else 1.0,
                    "retrain": {"max_epoch": 2, "batch_size": 60},
                },
            },
            "evaluation": {"num_samples": 40, "num_bins": 12, "strengths": [0.1], "attack": {"steps": 2}},
        }
        found.append(TrialConfig.model_validate(raw))
    return found


def alone(config):
    """The epochs of a trial by phase and number."""
    training, found = SoloTraining(config, "cpu", None), {}
    while True:
        report = training.advance()
        found[report.phase, report.epoch] = report
        if report.status.ended:
            return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["classification", "generative", "adversarial", "gan"])
def test_a_trial_is_the_same_whoever_pauses_ends_or_begins_beside_it(tmp_path, recipe):
    driven = Driven(tmp_path, configs(recipe))
    for number in range(3):
        driven.start(number, number)
    driven.until_all_wait()
    assert driven.waiting == {0, 1, 2}
    # Trial 1 pauses and gives its lane back, which trial 3 takes in the middle of a round; trial 2 waits in its lane.
    driven.rounds.apply(Stop(1))
    driven.waiting.remove(1)
    driven.go_on(0)
    driven.rounds.round(lambda: 3 not in driven.trials.values() and driven.start(3, 3))
    driven.until_all_wait()
    assert driven.waiting == {0, 2, 3}
    # Trial 1 goes on in another lane from its checkpoint, beside those that are further and less far than it is.
    driven.start(4, 1)
    driven.until_all_wait()
    driven.go_on(0, 2, 3, 4)
    driven.until_all_wait()
    # Trial 0 has trained all its epochs; trial 2 is stopped for good at its rung.
    assert driven.ended == {0}
    driven.rounds.apply(Stop(2))
    driven.go_on(3, 4)
    driven.until_all_wait()
    assert driven.ended == {0, 1, 3}
    phases = {phase for found in driven.epochs.values() for phase, _ in found}
    assert phases == PHASES[recipe]
    assert set(driven.packing.widths) >= {1, 2, 3}, "packs of many widths were formed"
    for trial, found in driven.epochs.items():
        wanted = alone(driven.configs[trial])
        assert found.keys() == wanted.keys() if trial in driven.ended else found.keys() < wanted.keys()
        for key, epoch in found.items():
            report = wanted[key]
            assert epoch.metrics == pytest.approx(report.metrics, rel=1e-9, abs=1e-9), (trial, key)
            assert (epoch.budget, epoch.eligible, epoch.best_epoch) == (
                report.budget,
                report.eligible,
                report.best_epoch,
            )
