import pickle

import numpy as np
import pytest
import torch

from bmtune.config.data import DataConfig
from bmtune.data import DataHandler
from bmtune.data import load_table
from bmtune.errors import DataError

UNIT = (0.0, 1.0)


def config(**fields):
    return DataConfig(**{"dataset": "iris", **fields})


@pytest.mark.parametrize(
    ("dataset", "sizes"), [("iris", (78, 36, 36)), ("wine", (88, 45, 45)), ("moons_small", (200, 100, 100))]
)
def test_splits_have_their_sizes_and_types(dataset, sizes):
    data = DataHandler(config(dataset=dataset), UNIT)
    assert tuple(len(data.splits[name].y) for name in ("train", "valid", "test")) == sizes
    for split in data.splits.values():
        assert split.x.dtype == torch.float64
        assert split.y.dtype == torch.int64
        assert split.x.shape == (len(split.y), data.num_features)
        assert split.y.unique().tolist() == list(range(data.num_classes))


def test_constant_columns_of_digits_lie_in_the_middle_of_every_split():
    data = DataHandler(config(dataset="digits"), (-1.0, 1.0))
    for split in data.splits.values():
        assert not split.x[:, [0, 32, 39]].any()
        assert split.x.abs().max() <= 1


def test_scaling_is_fitted_on_the_training_rows_only():
    data = DataHandler(config(dataset="wine"), (-1.0, 1.0))
    train = data.splits["train"].x
    assert torch.equal(train.amin(0), -torch.ones(13, dtype=torch.float64))
    assert torch.equal(train.amax(0), torch.ones(13, dtype=torch.float64))
    assert data.clipped["train"] == 0
    assert data.clipped["valid"] > 0
    # A scaled value strictly inside the interval is nobody's clipped one.
    edges = (data.splits["valid"].x.abs() == 1).sum()
    assert data.clipped["valid"] <= edges


def test_named_data_and_the_same_rows_as_arrays_agree_whatever_the_label_kind():
    table = load_table("iris", 0)
    named = DataHandler(config(), UNIT)
    names = np.array(table.class_names)[table.y]
    arrays = DataHandler.from_arrays(table.x, names, config(), UNIT, feature_names=table.feature_names)
    assert arrays.class_names == named.class_names == ("setosa", "versicolor", "virginica")
    assert torch.equal(arrays.splits["test"].x, named.splits["test"].x)
    assert arrays.content_hash == named.content_hash


def test_the_content_hash_sees_rows_labels_names_and_parameters():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    moved = x.copy()
    moved[3, 1] = np.median(x[:, 1])
    hashes = {
        DataHandler.from_arrays(x, y, config(), UNIT).content_hash,
        DataHandler.from_arrays(moved, y, config(), UNIT).content_hash,
        DataHandler.from_arrays(x, 1 - y, config(), UNIT).content_hash,
        DataHandler.from_arrays(x, y + 1, config(), UNIT).content_hash,
        DataHandler.from_arrays(x, y, config(split_seed=1), UNIT).content_hash,
        DataHandler.from_arrays(x, y, config(valid_fraction=0.2), UNIT).content_hash,
        DataHandler.from_arrays(x, y, config(), (-1.0, 1.0)).content_hash,
    }
    assert len(hashes) == 7
    assert DataHandler.from_arrays(x, y, config(dataset="wine"), UNIT).content_hash in hashes


def test_classification_gives_each_split_its_own_rows_and_shuffles_train_only():
    data = DataHandler(config(), UNIT)
    for name, split in data.splits.items():
        rows = torch.cat([x for x, _ in data.classification[name]])
        assert sorted(rows.tolist()) == sorted(split.x.tolist())
        assert torch.equal(rows, split.x) == (name != "train")
    first, second = (torch.cat([x for x, _ in data.classification["train"]]) for _ in range(2))
    assert not torch.equal(first, second)


def test_discrimination_gives_each_split_its_own_rows_class_by_class():
    data = DataHandler(config(), UNIT)
    for name, split in data.splits.items():
        (batch,) = data.discrimination[name]
        assert batch.shape == (len(split.y) // 3, 3, 4)
        for label in range(3):
            own = split.x[split.y == label].tolist()
            assert sorted(batch[:, label].tolist()) == sorted(own)
    assert [len(batch) for batch in data.discrimination["train"].loader(10, seed=0)] == [10, 10]


def test_a_handler_survives_the_way_to_another_process():
    data = DataHandler(config(), UNIT)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.content_hash == data.content_hash
    assert torch.equal(next(iter(copy.classification["train"]))[0], next(iter(data.classification["train"]))[0])


def test_data_that_cannot_be_trained_on_are_refused():
    x = np.zeros((10, 2))
    with pytest.raises(DataError, match="at least 2 classes"):
        DataHandler.from_arrays(x, np.zeros(10), config(), UNIT)
    with pytest.raises(DataError, match="class 'b' of mine has 1"):
        DataHandler.from_arrays(x, ["a"] * 9 + ["b"], config(), UNIT, name="mine")
    x[1, 0] = np.nan
    with pytest.raises(DataError, match="row 1, column 0"):
        DataHandler.from_arrays(x, np.arange(10) % 2, config(), UNIT)
