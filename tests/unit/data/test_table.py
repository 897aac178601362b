import numpy as np
import pytest

from bmtune.data import table_from_arrays
from bmtune.errors import DataError

LABELS = [0, 1, 0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_located(value):
    x = np.zeros((4, 3))
    x[2, 1] = x[3, 0] = value
    with pytest.raises(DataError, match=r"toys has 2 that are not, the first \((nan|inf|-inf)\) in row 2, column 1"):
        table_from_arrays(x, LABELS, name="toys")


def test_a_single_class_is_refused():
    with pytest.raises(DataError, match=r"at least 2 classes, but arrays has only cat; add"):
        table_from_arrays(np.zeros((3, 1)), ["cat"] * 3)


def test_labels_of_another_length_are_refused():
    with pytest.raises(DataError, match="4 rows and 3 labels"):
        table_from_arrays(np.zeros((4, 2)), [0, 1, 0])


@pytest.mark.parametrize("x", [np.zeros(4), np.zeros((4, 0)), np.zeros((0, 2)), np.zeros((2, 2, 2))])
def test_other_shapes_than_rows_and_features_are_refused(x):
    with pytest.raises(DataError, match=r"must have the shape \(rows, features\)"):
        table_from_arrays(x, LABELS)


@pytest.mark.parametrize("x", [[["a"], ["b"], ["c"], ["d"]], [[1.0], [1.0, 2.0], [1.0], [1.0]], 1j * np.ones((4, 1))])
def test_values_that_are_not_real_numbers_are_refused(x):
    with pytest.raises(DataError, match="x must hold real numbers"):
        table_from_arrays(x, LABELS)


def test_feature_names_must_match_the_columns():
    with pytest.raises(DataError, match="2 columns and 1 feature names"):
        table_from_arrays(np.zeros((4, 2)), LABELS, feature_names=["width"])


def test_a_table_does_not_follow_later_changes_of_the_arrays():
    x = np.zeros((4, 2))
    table = table_from_arrays(x, LABELS)
    x[:] = 7
    assert not table.x.any()
    assert table.feature_names == ("x0", "x1")
