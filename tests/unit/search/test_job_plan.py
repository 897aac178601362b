"""What a job takes along and what it runs: decided without a cluster."""

import shlex
import subprocess
from pathlib import Path

import pytest

from bmtune.config.data import DataConfig
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.errors import ResourceError
from bmtune.search.copy_address import storage_of
from bmtune.search.job_plan import MIB
from bmtune.search.job_plan import MOST_MIB
from bmtune.search.job_plan import JobPlan
from bmtune.search.job_plan import Shipped
from bmtune.search.job_plan import check_size
from bmtune.search.job_plan import cluster_storage
from bmtune.search.job_plan import command_line
from bmtune.search.job_plan import named_files
from bmtune.search.job_plan import plan_job
from bmtune.search.job_plan import shipped_as
from bmtune.search.job_plan import user_file
from bmtune.search.request import SearchRequest

OPTIONS = {
    "trainer": "",
    "space": "--space",
    "dataset": "--dataset",
    "trials": "--trials",
    "assignments": "--set",
    "resume": "--resume",
    "pre_cache": "--pre-cache",
    "name": "--name",
    "storage": "--storage",
    "address": "--address",
    "enqueue": "--enqueue",
    "from_run": "--from",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def plan(here: Path, request: SearchRequest, **given: object) -> JobPlan:
    return plan_job(request, given, OPTIONS, here, here.parent / "scratch")


def words(command: str) -> list[str]:
    return shlex.split(command)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("rows.csv", "rows.csv"),
        ("data/./rows.csv", "data/rows.csv"),
        ("data/../rows.csv", "rows.csv"),
        ("../rows.csv", "files/rows.csv"),
        ("/data/rows.csv", "files/rows.csv"),
    ],
)
def test_a_file_below_the_working_folder_keeps_its_path(here: Path, path: str, name: str) -> None:
    assert shipped_as(Path(path), here) == name
    assert shipped_as(here / "data" / "rows.csv", here) == "data/rows.csv"


def test_the_space_that_comes_with_bmtune_goes_along(here: Path) -> None:
    found = plan(here, SearchRequest("gan", name="night", trials=3), trainer="gan", trials=3)
    assert found.files == (Shipped(default_space_path("gan"), "files/gan.yaml"),)
    assert words(found.command)[:4] == ["python", "-m", "bmtune", "search"]
    assert set(words(found.command)[4:-2]) == {
        "gan",
        "--trials=3",
        "--space=files/gan.yaml",
        "--name=night",
        "--address=auto",
    }
    assert (found.run, found.storage, words(found.command)[-2:]) == ("night", "~/outputs", ["--storage", "~/outputs"])


def test_a_run_without_a_name_has_the_one_that_a_search_here_would_have(here: Path) -> None:
    found = plan(here, SearchRequest("gan", dataset="iris"), trainer="gan", dataset="iris")
    assert found.run.startswith("gan-iris-20")
    assert f"--name={found.run}" in words(found.command)


def test_what_is_wrong_with_a_search_is_told_before_anything_is_shipped(here: Path) -> None:
    with pytest.raises(ConfigError, match="a trainer must be one of"):
        plan(here, SearchRequest("gann"), trainer="gann")
    with pytest.raises(ConfigError, match=r"command line: --trials"):
        plan(here, SearchRequest("gan", trials=0), trainer="gan", trials=0)


def test_results_that_are_to_be_shared_do_not_lie_in_the_folder_of_a_job(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"absolute path of the cluster, but got cache .*--pre-cache"):
        plan(here, SearchRequest("gan", name="n", pre_cache="cache"), trainer="gan", pre_cache="cache")
    plan_job(SearchRequest("gan", name="n", pre_cache="/shared/cache"), {}, OPTIONS, here, here.parent / "scratch")


def test_a_data_file_of_the_space_goes_along_and_is_called_as_it_lies_in_the_job(here: Path) -> None:
    outside = here.parent / "rows.csv"
    outside.write_text("x,label\n1,a\n")
    text = default_space_path("classification").read_text()
    space = load_space(default_space_path("classification"))
    assert f"dataset: {space.base.data.dataset}" in text
    (here / "space.yaml").write_text(text.replace(f"dataset: {space.base.data.dataset}", f"dataset: {outside}"))
    request = SearchRequest("classification", space=here / "space.yaml", name="night")
    found = plan(here, request, trainer="classification", space=Path("space.yaml"), name="night")
    assert found.files == (Shipped(here / "space.yaml", "space.yaml"), Shipped(outside, "files/rows.csv"))
    assert "--dataset=files/rows.csv" in words(found.command)
    assert "--space=space.yaml" in words(found.command)


def test_a_data_set_that_an_assignment_names_is_one_too(here: Path) -> None:
    (here / "rows.csv").write_text("x,label\n1,a\n")
    request = SearchRequest("gan", name="n", overrides=(("data.dataset", "rows.csv"), ("born.bond_dim", "8")))
    given = ["data.dataset=rows.csv", "born.bond_dim=8"]
    found = plan(here, request, trainer="gan", assignments=given)
    assert Shipped((here / "rows.csv").resolve(), "rows.csv") in found.files
    assert [word for word in words(found.command) if word.startswith(("--set", "--dataset"))] == [
        "--set=born.bond_dim=8",
        "--dataset=rows.csv",
    ]


def test_a_relative_path_that_is_not_here_is_told_and_an_absolute_one_is_taken_to_be_on_the_cluster(here: Path) -> None:
    with pytest.raises(DataError, match=r"missing.csv is not there"):
        user_file("missing.csv", here)
    assert user_file("/shared/missing.csv", here) is None
    assert user_file("moons", here) is None


def test_files_of_a_named_set_go_along_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path))
    assert named_files(DataConfig(dataset="mnist")) == ()
    assert named_files(DataConfig(dataset="ucr/GunPoint")) == ()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "notes.txt"):
        (raw / name).touch()
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"GunPoint_{part}.tsv").touch()
    assert [file.name for file in named_files(DataConfig(dataset="mnist"))] == [
        "bmtune-data/MNIST/raw/train-images-idx3-ubyte.gz",
        "bmtune-data/MNIST/raw/train-labels-idx1-ubyte",
    ]
    assert [file.name for file in named_files(DataConfig(dataset="ucr/GunPoint"))] == [
        "bmtune-data/ucr/GunPoint_TRAIN.tsv",
        "bmtune-data/ucr/GunPoint_TEST.tsv",
    ]
    # Who says where the files lie means the cluster.
    assert named_files(DataConfig(dataset="mnist", root="/shared")) == ()
    assert named_files(DataConfig(dataset="iris")) == ()


def test_a_job_that_has_data_files_says_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: Path
) -> None:
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path))
    request = SearchRequest("gan", name="n", dataset="ucr/GunPoint")
    without = plan(here, request, trainer="gan", dataset="ucr/GunPoint")
    assert "BMTUNE_DATA" not in without.environment
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"GunPoint_{part}.tsv").touch()
    found = plan(here, request, trainer="gan", dataset="ucr/GunPoint")
    assert found.environment["BMTUNE_DATA"] == "bmtune-data"
    # Ray asks a job to end and kills it three seconds later, unless it is told to wait.
    assert int(found.environment["RAY_JOB_STOP_WAIT_TIME_S"]) > 10


def test_more_than_ray_takes_is_refused_with_folder_and_size(tmp_path: Path) -> None:
    sizes = {"small.csv": 20 * MIB, "large.csv": (MOST_MIB - 20) * MIB}
    for name, size in sizes.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    files = [Shipped(tmp_path / name, name) for name in sizes]
    check_size(files)
    with (tmp_path / "small.csv").open("ab") as file:
        file.truncate(21 * MIB)
    with pytest.raises(ResourceError) as caught:
        check_size(files)
    for word in ("at most 500 MiB", "have 501 MiB", f"480 MiB are large.csv in {tmp_path}", "absolute path"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "storage"),
    [
        (None, "~/outputs"),
        ("runs", "~/runs"),
        ("~/runs/", "~/runs"),
        ("/shared/runs", "/shared/runs"),
        ("s3://bucket/runs", "s3://bucket/runs"),
    ],
)
def test_runs_outlive_the_working_folder_of_their_job(given: str | None, storage: str) -> None:
    assert cluster_storage(given) == storage


@pytest.mark.parametrize("storage", ["~/my runs", "/shared/my runs", "/x; touch hacked", "~/$(touch hacked)"])
def test_a_shell_reads_back_what_was_given(tmp_path: Path, storage: str) -> None:
    values = {"trainer": "gan", "name": "a'b; touch hacked", "assignments": ["x=$HOME", "y=-1"], "resume": True}
    line = command_line(values, OPTIONS, storage).replace("python -m bmtune search", "printf '%s\\n'", 1)
    done = subprocess.run(
        ["sh", "-c", line],
        env={"HOME": "/home/u", "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    place = storage.replace("~", "/home/u")
    assert done.stdout.splitlines() == [
        "gan",
        "--name=a'b; touch hacked",
        "--set=x=$HOME",
        "--set=y=-1",
        "--resume",
        "--storage",
        place,
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_resumes_names_its_run_and_takes_no_space(here: Path) -> None:
    with pytest.raises(ConfigError, match="add --name"):
        plan(here, SearchRequest(None, resume=True), resume=True)
    with pytest.raises(ConfigError, match="a name must be letters"):
        plan(here, SearchRequest(None, resume=True, name="../x"), resume=True, name="../x")
    found = plan(here, SearchRequest(None, resume=True, name="night", trials=9), resume=True, name="night", trials=9)
    assert found.files == ()
    assert {"--resume", "--name=night", "--trials=9", "--address=auto"} <= set(words(found.command))
    (here / "rows.csv").touch()
    again = plan(here, SearchRequest(None, resume=True, name="n", dataset="rows.csv"), resume=True, dataset="rows.csv")
    assert [file.name for file in again.files] == ["rows.csv"]


def test_a_job_that_resumes_takes_a_named_set_along_again_where_it_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: Path
) -> None:
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path))
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"GunPoint_{part}.tsv").touch()
    request = SearchRequest(None, resume=True, name="n", dataset="ucr/GunPoint")
    assert len(plan(here, request, resume=True, dataset="ucr/GunPoint").files) == 2
    unknown = SearchRequest(None, resume=True, name="n", dataset="unknown")
    assert plan(here, unknown, resume=True, dataset="unknown").files == ()


def test_configurations_to_try_first_go_along_and_the_run_to_learn_from_is_on_the_cluster(here: Path) -> None:
    files = [here / "day" / "mine.yaml", here.parent / "night" / "mine.yaml"]
    for file, size in zip(files, (3, 5), strict=True):
        file.parent.mkdir()
        file.write_text(f"born: {{bond_dim: {size}}}", encoding="utf-8")
    request = SearchRequest("classification", enqueue=tuple(files), from_run="dusk", from_top=2)
    found = plan(here, request, trainer="classification", enqueue=[str(file) for file in files], from_run="dusk")
    assert {file.name: file.source for file in found.files if file.source in files} == {
        "files/0/mine.yaml": files[0],
        "files/1/mine.yaml": files[1],
    }
    assert {"--enqueue=files/0/mine.yaml", "--enqueue=files/1/mine.yaml", "--from=dusk"} <= set(words(found.command))


def test_a_configuration_to_try_first_that_does_not_fit_is_refused_before_anything_is_sent(here: Path) -> None:
    (here / "mine.yaml").write_text("born: {bond_dim: 1000}", encoding="utf-8")
    with pytest.raises(ConfigError, match="bond_dim"):
        plan(here, SearchRequest("classification", enqueue=(here / "mine.yaml",)), trainer="classification")


def test_an_address_reaches_the_job_as_it_was_given(here: Path) -> None:
    folder, copy_at = storage_of("s3://bucket/runs?region=eu-west-1")
    found = plan(here, SearchRequest("gan", name="night", storage=folder, copy_at=copy_at), storage="given")
    assert found.storage == "s3://bucket/runs?region=eu-west-1"
    assert words(found.command)[-2:] == ["--storage", "s3://bucket/runs?region=eu-west-1"]
