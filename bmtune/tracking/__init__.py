"""Where measured values go besides the records: Weights & Biases, or nowhere.

wandb is imported only in functions of this package, and only where a user asked for it.
"""

from bmtune.tracking.keys import epoch_values
from bmtune.tracking.keys import picture_path
from bmtune.tracking.keys import test_values
from bmtune.tracking.process import WandbMode
from bmtune.tracking.process import WandbProcess
from bmtune.tracking.process import check_login
from bmtune.tracking.service import read_link
from bmtune.tracking.sink import ActiveRunSink
from bmtune.tracking.sink import MetricSink
from bmtune.tracking.sink import NullSink
from bmtune.tracking.sink import active_sink
from bmtune.tracking.tail import RecordTail

__all__ = [
    "ActiveRunSink",
    "MetricSink",
    "NullSink",
    "RecordTail",
    "WandbMode",
    "WandbProcess",
    "active_sink",
    "check_login",
    "epoch_values",
    "picture_path",
    "read_link",
    "test_values",
]
