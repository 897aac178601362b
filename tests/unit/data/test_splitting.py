import numpy as np
import pytest

from bmtune.config.data import DataConfig
from bmtune.data import split_rows
from bmtune.data import table_from_arrays
from bmtune.errors import DataError


def table(*counts):
    y = np.repeat(np.arange(len(counts)), counts)
    return table_from_arrays(np.arange(len(y), dtype=float)[:, None], y, name="toys")


def test_a_class_with_fewer_rows_than_splits_is_refused():
    with pytest.raises(DataError, match="class '1' of toys has 2; add rows"):
        split_rows(table(10, 2), DataConfig())


@pytest.mark.parametrize(("valid", "test"), [(0.25, 0.25), (0.01, 0.01), (0.9, 0.05), (0.05, 0.9)])
def test_three_rows_of_a_class_are_one_in_each_split(valid, test):
    small = table(3, 40)
    rows = split_rows(small, DataConfig(valid_fraction=valid, test_fraction=test))
    assert [int((small.y[rows[name]] == 0).sum()) for name in ("train", "valid", "test")] == [1, 1, 1]


def test_the_test_rows_do_not_depend_on_the_validation_share():
    narrow, wide = (split_rows(table(40, 60), DataConfig(valid_fraction=share)) for share in (0.1, 0.4))
    assert np.array_equal(narrow["test"], wide["test"])
    assert len(narrow["valid"]) < len(wide["valid"])


def test_the_seed_decides():
    first, again, other = (split_rows(table(40, 60), DataConfig(split_seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["test"], other["test"])
