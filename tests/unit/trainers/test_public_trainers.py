import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch

import bmtune
from bmtune import AdversarialTrainer
from bmtune import BornMachine
from bmtune import ClassificationTrainer
from bmtune import Critic
from bmtune import DataHandler
from bmtune import GANStyleTrainer
from bmtune import GenerativeNLL
from bmtune import GenerativeTrainer
from bmtune import PerformanceEvaluator
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.checkpoints import read_checkpoint
from bmtune.config import TrialConfig
from bmtune.config.data import DataConfig
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.tracking import NullSink
from bmtune.trainers import course

KINDS = pytest.mark.parametrize("kind", ["pre", "re", "gen", "adv", "gan"])


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@lru_cache
def load(dataset, embedding):
    return DataHandler(DataConfig(dataset=dataset), get_embedding(embedding).data_interval)


def settings(born=None, **own):
    common = {"max_epoch": 4, "batch_size": 50, "optimizer": {"lr": 3e-2}, **own}
    game = {key: value for key, value in common.items() if key != "batch_size"}
    return TrialConfig.model_validate(
        {
            "name": "trial",
            "data": {"dataset": "moons_small"},
            "born": {"physical_dim": 5, "bond_dim": 4, "dtype": "float64", **(born or {})},
            "trainer": {
                "classification": common,
                "generative": common,
                "adversarial": {"attack": {"steps": 2}, **common},
                "ganstyle": {
                    "sampling": {"num_per_class": 40, "num_bins": 20},
                    "critic": {"min_width": 8, "steps": 1, "pretrain_epochs": 1},
                    "retrain": common,
                    "tolerance": 1.0,
                    **game,
                },
            },
            "evaluation": {"num_samples": 40, "num_bins": 20, "strengths": [0.1], "attack": {"steps": 2}},
        }
    )


def parts(**fields):
    cfg = settings(**fields)
    data = load(cfg.data.dataset, cfg.born.embedding)
    return cfg, data, BornMachine.start(cfg.born, data.num_features, data.num_classes, seed=1)


def trainer_of(kind, bm, cfg, data, **fields):
    if kind in ("pre", "re"):
        return ClassificationTrainer(bm, cfg, kind, data, **fields)
    if kind == "gan":
        return GANStyleTrainer(bm, cfg, data, Critic(cfg.trainer.ganstyle, data), **fields)
    return {"gen": GenerativeTrainer, "adv": AdversarialTrainer}[kind](bm, cfg, data, **fields)


def config_read_by(kind, cfg):
    trainer = cfg.trainer
    own = {"pre": trainer.classification, "re": trainer.ganstyle.retrain, "gan": trainer.ganstyle}
    return {**own, "gen": trainer.generative, "adv": trainer.adversarial}[kind]


def models(name="trial"):
    folder = Path("outputs") / name / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


CLASSIFICATION_ONLY = """
trainer = ClassificationTrainer(bm, cfg, "pre", datahandler, device)
trainer.train()
"""

CLASSIFICATION_AND_GAN = """
# Phase 1: Classification
pre_trainer = ClassificationTrainer(bm, cfg, "pre", datahandler, device)
pre_trainer.train()

# Phase 2: GAN-style
critic = Critic(cfg.trainer.ganstyle, datahandler, device=device)
gan_trainer = GANStyleTrainer(bm, cfg, datahandler, critic, device, pre_trainer.best)
gan_trainer.train()
"""


@pytest.mark.parametrize(
    ("program", "saved"), [(CLASSIFICATION_ONLY, ["pre"]), (CLASSIFICATION_AND_GAN, ["gan", "pre"])]
)
@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_example_programs_run(program, saved, device):
    cfg, datahandler, bm = parts(save=True)
    before = [core.clone() for core in bm.cores]
    names = {name: getattr(bmtune, name) for name in bmtune.__all__}
    exec(program, {**names, "bm": bm, "cfg": cfg, "datahandler": datahandler, "device": device})
    assert all(not torch.equal(core, old) for core, old in zip(bm.cores, before, strict=True) if core.numel())
    assert models() == saved


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_the_machine_has_the_cores_of_the_best_epoch_which_reproduce_its_metrics(kind, dtype):
    cfg, data, bm = parts(born={"dtype": dtype}, optimizer={"lr": 0.3}, max_epoch=6)
    trainer = trainer_of(kind, bm, cfg, data)
    assert trainer.best == {}
    trainer.train()
    assert {core.dtype for core in bm.cores} == {getattr(torch, dtype)}
    own = config_read_by(kind, cfg)
    found = PerformanceEvaluator(cfg, data, own).evaluate(bm, "valid", 1)
    assert set(found) == set(dict(own.metrics))
    close = 1e-5 if dtype == "float32" else 1e-9
    assert found == pytest.approx({name: trainer.best[name] for name in found}, rel=close, abs=close)


@pytest.mark.parametrize("kind", ["pre", "gen", "adv", "gan"])
def test_what_is_saved_is_the_machine_and_is_never_overwritten(kind):
    cfg, data, bm = parts(save=True, max_epoch=1)
    for count in (1, 2, 3):
        trainer_of(kind, bm, cfg, data).train()
        assert models() == [kind, f"{kind}-2", f"{kind}-3"][:count]
        path = Path("outputs/trial/models") / (kind if count == 1 else f"{kind}-{count}")
        tensors, facts = read_checkpoint(path)
        assert all(torch.equal(core, tensors[name]) for name, core in bm.cores._asdict().items())
        again = BornMachine(bm.chain, Cores(**tensors))
        test = PerformanceEvaluator(cfg, data, config_read_by(kind, cfg)).evaluate(again, "test", 1)
        exact = {name: value for name, value in test.items() if name in ("acc", "loss", "genloss")}
        assert exact == pytest.approx({name: facts["metrics"][f"test/{name}"] for name in exact}, rel=1e-12)
        assert TrialConfig.model_validate(facts["config"]).born == cfg.born
        assert facts["timings"]
    first, _ = read_checkpoint(Path("outputs/trial/models") / kind)
    assert not torch.equal(first["centre"], bm.cores.centre)
    assert not [path for path in Path("outputs").rglob("*") if path.suffix in (".pt", ".pkl", ".pth")]


@KINDS
def test_nothing_is_written_unless_asked(kind):
    cfg, data, bm = parts(max_epoch=1)
    trainer_of(kind, bm, cfg, data).train()
    assert not list(Path().iterdir())


@pytest.mark.parametrize(("kind", "goal"), [("pre", {"acc": 0.5}), ("gen", {"genloss": 50.0}), ("gan", {"fid": 50.0})])
def test_a_goal_ends_training_early(kind, goal, monkeypatch):
    phases = []
    honest = course.advance
    monkeypatch.setattr(course, "advance", lambda problem, state: phases.append(state.phase) or honest(problem, state))
    prepared = ["critic"] if kind == "gan" else []

    def trained(goal):
        phases.clear()
        cfg, data, bm = parts(max_epoch=5, patience=5)
        trainer_of(kind, bm, cfg, data).train(goal)
        return list(phases)

    assert trained(goal) == [*prepared, kind]
    assert trained({name: 1e9 if name == "acc" else -1e9 for name in goal}) == [*prepared, *[kind] * 5]


@KINDS
def test_a_machine_for_other_data_is_refused_in_one_sentence(kind):
    cfg, data, _ = parts()
    for other in (BornMachine.start(cfg.born, 3, 2), BornMachine.start(cfg.born, 2, 3)):
        with pytest.raises(ConfigError, match="number of features") as refused:
            trainer_of(kind, other, cfg, data)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="interval"):
        trainer_of(kind, BornMachine.start(cfg.born.model_copy(update={"embedding": "fourier"}), 2, 2), cfg, data)
    with pytest.raises(ConfigError, match=r"cfg\.born must describe the Born machine"):
        trainer_of(kind, BornMachine.start(cfg.born.model_copy(update={"physical_dim": 6}), 2, 2), cfg, data)


@pytest.mark.parametrize("kind", ["pre", "re", "gen", "adv"])
def test_a_batch_larger_than_the_training_rows_is_refused(kind):
    cfg, data, bm = parts(batch_size=100_000)
    with pytest.raises(DataError, match="batch_size"):
        trainer_of(kind, bm, cfg, data)


def test_an_unknown_stage_is_refused():
    cfg, data, bm = parts()
    with pytest.raises(ConfigError, match="stage must be pre or re, but got 'gan'"):
        ClassificationTrainer(bm, cfg, "gan", data)


def test_the_stages_read_their_own_configuration():
    cfg, data, bm = parts()
    retrain = cfg.trainer.ganstyle.retrain.model_copy(update={"max_epoch": 1, "save": True})
    ganstyle = cfg.trainer.ganstyle.model_copy(update={"retrain": retrain})
    cfg = cfg.model_copy(update={"trainer": cfg.trainer.model_copy(update={"ganstyle": ganstyle})})
    ClassificationTrainer(bm, cfg, "pre", data).train()
    assert models() == []
    ClassificationTrainer(bm, cfg, "re", data).train()
    assert models() == ["re"]
    facts = read_checkpoint(Path("outputs/trial/models/re"))[1]
    assert facts["epoch"] == 1
    assert set(facts["timings"]) == {"re/avg_epoch_time_s"}


def test_the_critic_is_left_as_it_is_and_another_one_is_refused():
    cfg, data, bm = parts()
    critic = Critic(cfg.trainer.ganstyle, data, seed=3)
    before = [tensor.clone() for tensor in critic.tensors]
    rows = data.splits["valid"].x[:8].float().view(4, 2, 2)
    assert critic(rows).shape == (4, 2)
    GANStyleTrainer(bm, cfg, data, critic).train()
    assert all(torch.equal(tensor, old) for tensor, old in zip(critic.tensors, before, strict=True))
    assert not any(tensor.requires_grad for tensor in critic.tensors)
    other = Critic(cfg.trainer.ganstyle, load("iris", "legendre"))
    with pytest.raises(ConfigError, match="the critic must be built from") as refused:
        GANStyleTrainer(bm, cfg, data, other)
    assert "\n" not in str(refused.value)


def test_the_critic_that_is_handed_over_is_the_one_that_is_played_against():
    def centre(seed):
        cfg, data, bm = parts(max_epoch=1)
        GANStyleTrainer(bm, cfg, data, Critic(cfg.trainer.ganstyle, data, seed=seed)).train()
        return bm.cores.centre

    assert torch.equal(centre(0), centre(0))
    assert not torch.equal(centre(0), centre(1))


def test_the_critic_that_is_handed_over_is_trained_alone_first_under_names_of_its_own(monkeypatch):
    heard = Heard()
    monkeypatch.setattr(course, "active_sink", lambda: heard)
    cfg, data, bm = parts(max_epoch=2, save=True)
    trainer_of("gan", bm, cfg, data).train()
    epochs = [sorted(name for name in values if name.endswith("/epoch")) for values in heard.logged]
    assert epochs == [["critic/epoch"], ["gan/epoch"], ["gan/epoch"]]
    assert heard.logged[0].keys() == {"critic/train/d_loss", "critic/train/grad_norm", "critic/epoch"}
    times = {f"gan/avg_epoch_time_{which}_s" for which in ("total", "no_retrain")} | {"critic/avg_epoch_time_s"}
    assert {name for name in heard.told if "avg_epoch_time" in name} == times
    assert set(read_checkpoint(Path("outputs/trial/models/gan"))[1]["timings"]) == times


class Heard(NullSink):
    """A sink that keeps what it takes."""

    def __init__(self):
        self.logged, self.told = [], {}

    def log(self, values, step):
        self.logged.append(dict(values))

    def summary(self, values):
        self.told.update(values)


def test_the_goal_of_retraining_is_what_was_handed_over_or_else_measured():
    cfg, data, bm = parts()
    critic = Critic(cfg.trainer.ganstyle, data)
    assert GANStyleTrainer(bm, cfg, data, critic, "cpu", {"acc": 0.75, "loss": 1.0}).goal == {"acc": 0.75}
    measured = PerformanceEvaluator(cfg, data, cfg.trainer.ganstyle).evaluate(bm, "valid", 1)["acc"]
    assert GANStyleTrainer(bm, cfg, data, critic).goal == {"acc": measured}


class Mine(GenerativeNLL):
    def compute_unnormalized_log_prob(self, bornmachine, data, labels):
        return bornmachine.log_weights(data)[torch.arange(len(labels)), labels]

    def compute_log_partition(self, bornmachine, labels):
        return bornmachine.log_partition()


def test_a_users_criterion_trains_as_the_default_does():
    results = []
    for criterion in (None, Mine()):
        cfg, data, bm = parts()
        trainer = GenerativeTrainer(bm, cfg, data, criterion)
        trainer.train()
        results.append((trainer.best, bm.cores))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-9)
    for core, other in zip(*(cores for _, cores in results), strict=True):
        torch.testing.assert_close(core, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda data: data, r"must return shape \(B,\) for B=50 rows, but got \(50, 2\)"),
        (lambda data: data[:, 0] * torch.nan, "must return finite numbers, but got 50 that are not"),
        (lambda data: 1.0, r"must return a tensor of shape \(B,\), but got float"),
    ],
)
def test_a_users_criterion_that_returns_something_else_is_refused_at_once(returned, message):
    class Wrong(GenerativeNLL):
        def compute_unnormalized_log_prob(self, bornmachine, data, labels):
            return returned(data)

    cfg, data, bm = parts()
    before = [core.clone() for core in bm.cores]
    with pytest.raises(ConfigError, match=f"{message}.*criterion Wrong") as refused:
        GenerativeTrainer(bm, cfg, data, Wrong())
    assert "\n" not in str(refused.value)
    assert all(torch.equal(core, old) for core, old in zip(bm.cores, before, strict=True))


def test_a_training_that_keeps_no_epoch_says_so_and_leaves_the_machine_alone():
    cfg, data, bm = parts(optimizer={"name": "sgd", "lr": 1e300}, save=True)
    before = [core.clone() for core in bm.cores]
    with pytest.raises(ConfigError, match="pre has none"):
        ClassificationTrainer(bm, cfg, "pre", data).train()
    assert all(torch.equal(core, old) for core, old in zip(bm.cores, before, strict=True))
    assert models() == []


def test_the_evaluator_returns_what_is_due():
    cfg, data, bm = parts()
    schedule = (("acc", 1), ("loss", 2), ("fid", 3), ("rob/0.1", 3), ("viz", 1))
    evaluator = PerformanceEvaluator(
        cfg, data, cfg.trainer.classification.model_copy(update={"metrics": schedule}), "cpu"
    )
    assert set(evaluator.evaluate(bm, "valid", 1)) == {"acc", "loss", "fid", "rob/0.1"}
    assert set(evaluator.evaluate(bm, "test", 2)) == {"acc", "loss"}
    assert set(evaluator.evaluate(bm, "train", 3)) == {"acc", "fid", "rob/0.1"}


def test_the_package_itself_loads_no_torch():
    code = "import sys, bmtune; bmtune.__version__; assert 'torch' not in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(bmtune.__file__).parents[1])
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = bmtune.Nothing


def test_a_criterion_that_no_core_has_a_say_in_is_refused():
    class Deaf(GenerativeNLL):
        def compute_unnormalized_log_prob(self, bornmachine, data, labels):
            return data[:, 0]

        def compute_log_partition(self, bornmachine, labels):
            return torch.zeros(())

    cfg, data, bm = parts()
    with pytest.raises(ConfigError, match="a criterion must depend on the machine's cores.*criterion Deaf"):
        GenerativeTrainer(bm, cfg, data, Deaf())


def test_pictures_are_saved_beside_the_checkpoint():
    measured = {"acc": 1, "loss": 1, "genloss": 1, "fid": 1, "rob": 1, "viz": 2}
    cfg, data, bm = parts(save=True, max_epoch=2, metrics=measured)
    ClassificationTrainer(bm, cfg, "pre", data).train()
    found = sorted(path.name for path in Path("outputs/trial/models/pre").glob("*.png"))
    assert found == ["viz-pre-00001.png", "viz-pre-00002.png"]
    assert Path("outputs/trial/models/pre", found[0]).read_bytes().startswith(b"\x89PNG")


def test_the_saved_configuration_tells_the_machines_own_bond_dimension():
    cfg, data, _ = parts(save=True, max_epoch=1)
    wider = BornMachine.start(cfg.born.model_copy(update={"bond_dim": 7}), data.num_features, data.num_classes)
    ClassificationTrainer(wider, cfg, "pre", data).train()
    _, facts = read_checkpoint(Path("outputs/trial/models/pre"))
    assert facts["config"]["born"]["bond_dim"] == 7
