from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bmtune.config.data import DataConfig
from bmtune.data import SPLITS
from bmtune.data import DataHandler
from bmtune.data import encode_labels
from bmtune.data import fit_scaler
from bmtune.data import split_rows
from bmtune.data import table_from_arrays

counts = st.lists(st.integers(3, 40), min_size=2, max_size=5)
fractions = st.tuples(st.floats(0.01, 0.49), st.floats(0.01, 0.49))
seeds = st.integers(0, 2**32)
finite = st.floats(allow_nan=False, allow_infinity=False)
quick = settings(max_examples=60, deadline=None)


def labelled(sizes, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return table_from_arrays(np.arange(len(y), dtype=float)[:, None], y)


def config(shares, seed):
    return DataConfig(valid_fraction=shares[0], test_fraction=shares[1], split_seed=seed)


@quick
@given(counts, fractions, seeds)
def test_splits_are_disjoint_covering_stratified_and_deterministic(sizes, shares, seed):
    table = labelled(sizes, seed)
    rows = split_rows(table, config(shares, seed))
    assert tuple(rows) == SPLITS
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(table.y)))
    wanted = (1 - sum(shares), *shares)
    for (name, index), share in zip(rows.items(), wanted, strict=True):
        found = np.bincount(table.y[index], minlength=len(sizes))
        assert (found >= 1).all()
        # Half a row of rounding, and up to one and a half where the smallest classes need a row in every split.
        assert (np.abs(found - share * np.array(sizes)) <= 2).all(), name
    again = split_rows(table, config(shares, seed))
    assert all(np.array_equal(rows[name], again[name]) for name in rows)


@quick
@given(
    arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=finite),
    arrays(np.float64, (5, 3), elements=finite),
    st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-4.0, 4.0), (-0.99, 0.99)]),
)
def test_scaled_values_lie_in_the_interval_and_only_values_outside_the_training_range_are_clipped(
    train, other, interval
):
    scaler = fit_scaler(train, interval)
    inside, clipped = scaler.transform(train)
    assert clipped == 0
    low, high = interval
    constant = train.min(0) == train.max(0)
    assert (inside.min(0) == np.where(constant, (low + high) / 2, low)).all()
    assert (inside.max(0) == np.where(constant, (low + high) / 2, high)).all()
    scaled, clipped = scaler.transform(other)
    assert ((scaled >= low) & (scaled <= high)).all()
    assert clipped == sum(not train[:, j].min() <= other[i, j] <= train[:, j].max() for i in range(5) for j in range(3))


@quick
@given(st.lists(st.one_of(st.integers(-5, 5), st.text("abé01. \0", max_size=3)), min_size=1, max_size=20))
def test_labels_are_equal_where_their_codes_are(values):
    codes, names = encode_labels(np.array(values, dtype=object))
    assert set(codes.tolist()) == set(range(len(names)))
    assert len(set(names)) == len(names)
    # numpy's fixed-width text drops trailing NUL characters, and with them nothing anyone calls a class.
    assert [names[code] for code in codes] == [str(value).rstrip("\0") for value in values]


@quick
@given(counts, fractions, seeds, st.integers(1, 20))
def test_every_discrimination_batch_holds_rows_of_its_class_and_split(sizes, shares, seed, num_per_class):
    table = labelled(sizes, seed)
    data = DataHandler(config(shares, seed), (0.0, 1.0), table)
    for name, split in data.splits.items():
        # Clipped rows may share a scaled value, so rows are counted and not looked up.
        available = Counter(zip(split.x[:, 0].tolist(), split.y.tolist(), strict=True))
        given_out: Counter[tuple[float, int]] = Counter()
        for batch in data.discrimination[name].loader(num_per_class, seed):
            assert batch.shape[1:] == (len(sizes), 1)
            given_out.update((value, label) for row in batch[:, :, 0].tolist() for label, value in enumerate(row))
        assert given_out
        assert given_out <= available
