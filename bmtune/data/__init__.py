"""Data sets: sources, labels, splits, scaling and minibatches."""

from bmtune.data.batches import Loader
from bmtune.data.batches import check_batch_size
from bmtune.data.batches import class_batches
from bmtune.data.batches import discrimination_batches
from bmtune.data.batches import row_order
from bmtune.data.handler import DataHandler
from bmtune.data.handler import Split
from bmtune.data.labels import encode_labels
from bmtune.data.scaling import MinMaxScaler
from bmtune.data.scaling import fit_scaler
from bmtune.data.sources import load_table
from bmtune.data.splitting import SPLITS
from bmtune.data.splitting import split_rows
from bmtune.data.table import Table
from bmtune.data.table import table_from_arrays

__all__ = [
    "SPLITS",
    "DataHandler",
    "Loader",
    "MinMaxScaler",
    "Split",
    "Table",
    "check_batch_size",
    "class_batches",
    "discrimination_batches",
    "encode_labels",
    "fit_scaler",
    "load_table",
    "row_order",
    "split_rows",
    "table_from_arrays",
]
