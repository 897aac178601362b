import numpy as np
import pytest

from bmtune.data import encode_labels
from bmtune.errors import DataError


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        ([-1, 1, 1, -1], [0, 1, 1, 0], ("-1", "1")),
        ([3, 1, 2], [2, 0, 1], ("1", "2", "3")),
        ([1.0, 2.0, 1.0], [0, 1, 0], ("1", "2")),
        ([0.5, 1.5], [0, 1], ("0.5", "1.5")),
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        (["10", "2", "1"], [2, 1, 0], ("1", "2", "10")),
        ([True, False], [1, 0], ("False", "True")),
        (np.array([b"b", b"a"]), [1, 0], ("a", "b")),
        (np.array([1, "x", 2.0, b"y"], dtype=object), [0, 2, 1, 3], ("1", "2", "x", "y")),
        ([0.0, -0.0], [0, 0], ("0",)),
    ],
)
def test_labels_are_encoded_in_display_order_with_their_names(values, codes, names):
    encoded, found = encode_labels(values)
    assert encoded.tolist() == codes
    assert encoded.dtype == np.int64
    assert found == names


@pytest.mark.parametrize("values", [[0.0, np.nan, 1.0, np.nan], np.array(["a", None, "b", None], dtype=object)])
def test_missing_labels_are_counted_and_located(values):
    with pytest.raises(DataError, match=r"mine has 2 without one, the first in row 1, counted from 0; remove"):
        encode_labels(values, name="mine")


def test_one_hot_rows_are_refused():
    with pytest.raises(DataError, match=r"the shape \(3, 3\); pass class labels"):
        encode_labels(np.eye(3))
