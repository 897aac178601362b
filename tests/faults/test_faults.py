"""Whatever is killed, a search that is resumed ends with the epochs of one that nothing befell."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
HARNESS = Path(__file__).with_name("harness.py")
FAULTS = ("driver killed", "host killed", "tail torn off", "bit flipped, repaired")
WITHIN = "whole process group killed"
"""Both damages of records begin with it, so it is not tried once more by itself."""


@pytest.fixture(scope="module")
def harness() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("faults_harness", HARNESS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def undisturbed(harness: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    whole = harness.undisturbed(tmp_path_factory.mktemp("undisturbed"))
    assert len(whole) == 900
    return whole


def test_every_fault_is_tried(harness: ModuleType) -> None:
    assert set(harness.FAULTS) == {*FAULTS, WITHIN}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_is_doubled(
    harness: ModuleType, undisturbed: Any, fault: str, tmp_path: Path
) -> None:
    found = harness.disturbed(fault, tmp_path, 0, undisturbed)
    assert found.faults == 1
    assert (found.lost, found.other, found.doubled, found.wrong) == (0, 0, 0, [])
