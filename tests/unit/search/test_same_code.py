"""One version of bmtune for a whole search; real nodes are asked in end_to_end."""

import json
from pathlib import Path

import pytest

import bmtune
from bmtune.errors import ResourceError
from bmtune.search.same_code import JOB_VARIABLE
from bmtune.search.same_code import brought_along
from bmtune.search.same_code import check_same
from bmtune.search.same_code import code_name


def job(**runtime_env: object) -> dict[str, str]:
    return {JOB_VARIABLE: json.dumps({"runtime_env": runtime_env, "metadata": {}})}


def test_a_process_that_joins_brings_the_package_that_it_runs() -> None:
    found = brought_along({})
    assert found is not None
    assert found["py_modules"] == [str(Path(bmtune.__file__).parent)]


def test_in_a_job_that_brings_packages_nothing_is_added() -> None:
    assert brought_along(job(py_modules=["gcs://package.zip"])) is None


def test_in_another_job_only_what_it_does_not_say_is_added() -> None:
    # Ray refuses a key that both give.
    found = brought_along(job(working_dir="gcs://folder.zip", excludes=["x"]))
    assert found is not None
    assert found.keys() == {"py_modules"}
    assert brought_along({JOB_VARIABLE: json.dumps({"metadata": {}})}) == brought_along({})


def test_the_variable_is_the_one_that_ray_sets() -> None:
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

    assert JOB_VARIABLE == RAY_JOB_CONFIG_JSON_ENV_VAR


def test_the_name_of_the_code_follows_version_and_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert code_name().startswith(f"{bmtune.__version__} (sources ")
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(bmtune, "__file__", str(tmp_path / "__init__.py"))
    first = code_name()
    (tmp_path / "notes.txt").write_text("no source")
    assert code_name() == first
    (tmp_path / "more.py").write_text("x = 1\n")
    second = code_name()
    (tmp_path / "more.py").write_text("x = 2\n")
    assert len({first, second, code_name()}) == 3
    monkeypatch.setattr(bmtune, "__version__", "9.9.9")
    assert code_name().startswith("9.9.9 ")


def test_another_version_is_refused_with_both() -> None:
    check_same("0.1.0 (sources 1)", "0.1.0 (sources 1)", "10.0.0.2")
    with pytest.raises(ResourceError) as caught:
        check_same("0.1.0 (sources 1)", "0.1.0 (sources 2)", "10.0.0.2")
    for word in ("0.1.0 (sources 1)", "10.0.0.2 has 0.1.0 (sources 2)"):
        assert word in str(caught.value)
