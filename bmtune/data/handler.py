"""A data set, split and scaled, in the two forms that trainers read."""

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor

from bmtune.config.data import DataConfig
from bmtune.data.batches import DEFAULT_BATCH_SIZE
from bmtune.data.batches import Loader
from bmtune.data.batches import class_batches
from bmtune.data.batches import discrimination_batches
from bmtune.data.scaling import Interval
from bmtune.data.scaling import fit_scaler
from bmtune.data.sources import load_table
from bmtune.data.splitting import split_rows
from bmtune.data.table import Table
from bmtune.data.table import check_table
from bmtune.data.table import table_from_arrays


@dataclass(frozen=True)
class Split:
    """The rows of one split.

    Attributes:
        x: Features in interval coordinates, (R, N).
        y: Labels 0 to C - 1, (R,).
    """

    x: Float[Tensor, "R N"]
    y: Int64[Tensor, " R"]


class DataHandler:
    """A data set split into train, valid and test and scaled to an interval.

    Args:
        config: The data set and its split.
        interval: Lowest and highest value of a scaled feature.
        table: Rows to use in place of those that `config.dataset` names.

    Raises:
        DataError: The data are unfit to train on.

    Attributes:
        config: The data set and its split.
        interval: Lowest and highest value of a scaled feature.
        splits: The rows of "train", "valid" and "test".
        class_names: The name of each label, C of them.
        feature_names: The name of each feature, N of them.
        clipped: For each split, how many values lay outside the training range and were moved to its edge.
        num_constant: How many features have one value in all training rows.
        has_official_test: Whether the test split is the one that the data set came with.
        kind: What the features of a row are together: "points", "images" or "series".
        origin: Where the rows come from and how that was checked; empty for rows that were handed over.
        classification: For each split, an iterable of (x (B, N), y (B,)).
        discrimination: For each split, an iterable of (num_per_class, C, N), of that split only.
        content_hash: SHA-256, as hex, of the scaled rows, the labels and the parameters; the name of the
            data set is no part of it.
    """

    def __init__(self, config: DataConfig, interval: Interval, table: Table | None = None) -> None:
        source = table if table is not None else _load(config)
        check_table(source)
        rows = split_rows(source, config)
        scaler = fit_scaler(source.x[rows["train"]], interval)
        splits: dict[str, Split] = {}
        clipped: dict[str, int] = {}
        for name, index in rows.items():
            x, clipped[name] = scaler.transform(source.x[index])
            splits[name] = Split(x=torch.from_numpy(x), y=torch.from_numpy(source.y[index]))
        self.config = config
        self.interval = interval
        self.class_names = source.class_names
        self.feature_names = source.feature_names
        self.splits: Mapping[str, Split] = splits
        self.clipped: Mapping[str, int] = clipped
        self.num_constant = scaler.num_constant
        self.has_official_test = source.test_rows is not None
        self.kind = source.kind
        self.origin = source.origin
        self.classification = {name: self._classification(name) for name in splits}
        self.discrimination = {name: self._discrimination(name) for name in splits}
        self.content_hash = _content_hash(self)

    @classmethod
    def from_arrays(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        config: DataConfig,
        interval: Interval,
        *,
        name: str = "arrays",
        feature_names: Sequence[str] | None = None,
    ) -> "DataHandler":
        """A data set of the user's own rows.

        Args:
            x: Rows in any units, (R, N).
            y: Labels of any kind, (R,).
            config: How to split; its `dataset` is not used.
            interval: Lowest and highest value of a scaled feature.
            name: What messages call the data set.
            feature_names: The name of each feature; `x0`, `x1`, ... without.

        Raises:
            DataError: The data are unfit to train on.
        """
        return cls(config, interval, table_from_arrays(x, y, name=name, feature_names=feature_names))

    @property
    def num_features(self) -> int:
        """Number of features, N."""
        return len(self.feature_names)

    @property
    def num_classes(self) -> int:
        """Number of classes, C."""
        return len(self.class_names)

    def _seed(self, split: str) -> int | None:
        return self.config.split_seed if split == "train" else None

    def _classification(self, split: str) -> Loader[tuple[Tensor, Tensor]]:
        rows = self.splits[split]
        return Loader(partial(class_batches, rows.x, rows.y), DEFAULT_BATCH_SIZE, self._seed(split))

    def _discrimination(self, split: str) -> Loader[Tensor]:
        rows = self.splits[split]
        draw = partial(discrimination_batches, rows.x, rows.y, self.num_classes)
        return Loader(draw, DEFAULT_BATCH_SIZE, self._seed(split))


def _load(config: DataConfig) -> Table:
    return load_table(config.dataset, config.split_seed, pool=config.pool, label=config.label, root=config.root)


def _content_hash(data: DataHandler) -> str:
    parameters = {
        "split": data.config.model_dump(mode="json", include={"split_seed", "valid_fraction", "test_fraction"}),
        "interval": data.interval,
        "class_names": data.class_names,
        "feature_names": data.feature_names,
        "sizes": {name: tuple(split.x.shape) for name, split in data.splits.items()},
    }
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for split in data.splits.values():
        # No copy on most machines: MNIST is half a gigabyte.
        digest.update(np.ascontiguousarray(split.x.numpy(), dtype="<f8").reshape(-1).data)
        digest.update(np.ascontiguousarray(split.y.numpy(), dtype="<i8").reshape(-1).data)
    return digest.hexdigest()
