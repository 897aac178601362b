import pytest

from bmtune.records import Bound
from bmtune.records import Objective
from bmtune.records import PretrainingShared
from bmtune.records import Rung
from bmtune.records import TrialPromoted
from bmtune.tracking.runs import TrialRuns


class Run:
    def __init__(self, facts):
        self.facts, self.logged, self.defined, self.summary, self.exit_code = facts, [], {}, {}, None

    def log(self, values, step):
        assert self.exit_code is None, "logged after its end"
        self.logged.append((step, values))

    def define_metric(self, name, **options):
        self.defined[name] = options


class Service:
    def __init__(self):
        self.runs = []

    def open(self, facts):
        self.runs.append(Run(facts))
        return self.runs[-1]

    def image(self, path):
        return path.read_bytes()

    def finish(self, run, exit_code):
        assert run.exit_code is None, "finished twice"
        run.exit_code = exit_code


@pytest.fixture
def told(tmp_path, search_records):
    def tell(records=search_records, sent=frozenset()):
        service, seen = Service(), []
        runs = TrialRuns(tmp_path, service, sent, seen.append)
        for record in records:
            runs.on_record(record)
        return service, runs, seen

    return tell


def test_each_trial_is_one_run_in_one_group(told):
    service, _, _ = told()
    facts = [run.facts for run in service.runs]
    assert [fact.group for fact in facts] == ["night"] * 3
    assert len({fact.id for fact in facts}) == 3
    assert facts[1].config == {
        "born.bond_dim": 6,
        "trainer": "gan",
        "dataset": "moons_4k",
        "seed": 101,
        "trial": 1,
    }
    again, _, _ = told()
    assert [run.facts for run in again.runs] == facts


def test_another_search_of_the_same_name_has_other_runs(told, search_records):
    later = [search_records[0].model_copy(update={"time": 13.0}), *search_records[1:]]
    assert told()[0].runs[0].facts.id != told(later)[0].runs[0].facts.id


def test_epochs_of_all_phases_are_steps_of_the_run(told):
    run = told()[0].runs[0]
    assert [step for step, _ in run.logged] == [1, 2, 3, 4, 5]
    assert run.logged[0][1] == {"pre/train/loss": 0.6, "pre/valid/acc": 0.8, "pre/epoch": 1}
    assert run.logged[1][1] == {"critic/train/d_loss": 1.4, "critic/epoch": 1}
    assert run.logged[4][1] == {
        "gan/train/g_loss": 0.8,
        "gan/train/d_loss": 1.2,
        "gan/valid/fid": 0.01,
        "gan/epoch": 2,
    }
    assert run.defined["gan/train/g_loss"]["summary"] == "none"
    assert run.defined["critic/train/d_loss"] == {"summary": "none", "step_metric": "critic/epoch"}


def test_the_end_of_a_trial_is_its_summary(told):
    first, second, third = told()[0].runs
    assert first.summary["pre/avg_epoch_time_s"] == 0.5
    assert first.summary["critic/avg_epoch_time_s"] == 0.5
    assert first.summary["gan/avg_epoch_time_total_s"] == 0.75
    assert first.summary["gan/avg_epoch_time_no_retrain_s"] == 0.5
    assert (first.summary["value"], first.summary["best/fid"], first.summary["status"]) == (0.01, 0.01, "completed")
    assert (second.exit_code, third.exit_code) == (0, 1)


def test_a_trial_that_did_not_pretrain_says_from_where_it_started(told, search_records, tmp_path):
    shared = PretrainingShared(trial=1, key="ab", from_run="night", from_trial=0, epochs=3, metrics={"start/acc": 0.9})
    records = [
        record
        for record in search_records
        if not (record.kind == "epoch" and record.trial == 1 and record.phase == "pre")
    ]
    records.insert(4, shared)
    shown = tmp_path / "checkpoints/trial-00001/pictures/viz-pre-00003.png"
    shown.parent.mkdir(parents=True)
    shown.write_bytes(b"png")
    _, second, _ = told(records)[0].runs
    assert second.summary["pre/start/acc"] == 0.9
    assert second.summary["pre/shared_from"] == "night/0"
    assert "pre/avg_epoch_time_s" not in second.summary
    assert [step for step, _ in second.logged] == [0, 1]
    assert second.logged[0][1] == {"pre/viz": b"png"}


def test_the_winners_run_is_open_for_the_test_metrics(told, search_records):
    service, runs, seen = told(search_records[:-1])
    # The stopped trial's value is better, but a survivor of halving wins over it.
    assert [run.exit_code for run in service.runs] == [None, 0, 1]
    runs.on_record(search_records[-1])
    assert runs.ended
    assert service.runs[0].summary["gan/test/acc"] == 0.97
    assert service.runs[0].summary["gan/test/fid"] == 0.012
    assert all("gan/test/acc" not in run.summary for run in service.runs[1:])
    runs.close()
    assert service.runs[0].exit_code == 0
    assert seen == [1, 2, 0]


def test_a_better_trial_takes_the_place_of_the_best(told, search_records):
    better = [record for record in search_records[:-1] if record.kind != "rung"]
    service, runs, _ = told(better)
    assert [run.exit_code for run in service.runs] == [0, None, 1]
    runs.close()
    assert service.runs[1].exit_code == 0


def test_a_trial_that_went_on_from_a_rung_takes_the_place_of_one_that_waits_there(told, search_records):
    first, second = search_records[9], search_records[12]
    records = [
        *search_records[:9],
        Rung(trial=0, rung=1, value=0.01, decision="pause"),
        Rung(trial=1, rung=1, value=0.001, decision="pause"),
        TrialPromoted(trial=0, rung=1, time=1.0),
        second,
        first.model_copy(update={"status": "pruned"}),
    ]
    service, _, sent = told(records)
    assert sent == [1]
    assert [run.exit_code for run in service.runs] == [None, 0]


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        # The first one of a Pareto set has the best first objective, whatever halving thought of it.
        ({"others": (Objective(metric="acc", mode="max"),)}, [0, None, 1]),
        # Nothing that breaks a constraint can win.
        ({"bounds": (Bound(metric="fid", relation=">=", limit=0.005),)}, [None, 0, 1]),
    ],
)
def test_the_run_that_stays_open_is_that_of_the_trial_that_may_win(told, search_records, more, codes):
    records = [search_records[0].model_copy(update=more), *search_records[1:-1]]
    service, runs, _ = told(records)
    assert [run.exit_code for run in service.runs] == codes
    runs.close()


def test_an_interrupted_search_leaves_no_run_open(told, search_records):
    service, runs, seen = told(search_records[:8])
    assert not runs.ended
    runs.close()
    assert [run.exit_code for run in service.runs] == [0, 0]
    # They may go on: then W&B is told of them again.
    assert seen == []


def test_trials_that_were_sent_before_are_passed_over(told):
    service, _, _ = told(sent=frozenset({1}))
    assert [run.facts.config["trial"] for run in service.runs] == [0, 2]


def test_a_picture_beside_the_checkpoint_is_logged_with_its_epoch(told, tmp_path):
    folder = tmp_path / "checkpoints/trial-00000/pictures"
    folder.mkdir(parents=True)
    (folder / "viz-gan-00002.png").write_bytes(b"png")
    logged = told()[0].runs[0].logged
    assert logged[4][1]["gan/viz"] == b"png"
    assert not any("gan/viz" in values for _, values in logged[:4])
