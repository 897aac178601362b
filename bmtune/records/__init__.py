"""Records: the immutable lines that a search leaves behind, and the only state that it has.

A records file holds one JSON object a line, each with a CRC-32 of its own text, and begins with a
`RunStarted`. One process writes it and only ever appends; a last line that was cut off in the middle is dropped on
reading, and damage anywhere else is an error that names the line.
"""

from bmtune.records.file import Damage
from bmtune.records.file import Glance
from bmtune.records.file import LinesRead
from bmtune.records.file import RecordsRead
from bmtune.records.file import RecordWriter
from bmtune.records.file import body_of
from bmtune.records.file import cut
from bmtune.records.file import damaged
from bmtune.records.file import from_line
from bmtune.records.file import glance
from bmtune.records.file import read_lines
from bmtune.records.file import read_records
from bmtune.records.file import rewrite
from bmtune.records.file import to_line
from bmtune.records.kinds import FORMAT
from bmtune.records.kinds import READABLE
from bmtune.records.kinds import VERSION
from bmtune.records.kinds import Bound
from bmtune.records.kinds import Change
from bmtune.records.kinds import CheckpointWritten
from bmtune.records.kinds import Epoch
from bmtune.records.kinds import LaneWatcher
from bmtune.records.kinds import Listener
from bmtune.records.kinds import Metrics
from bmtune.records.kinds import Notice
from bmtune.records.kinds import Objective
from bmtune.records.kinds import PretrainingShared
from bmtune.records.kinds import Record
from bmtune.records.kinds import RunFinished
from bmtune.records.kinds import Rung
from bmtune.records.kinds import RunListener
from bmtune.records.kinds import RunResumed
from bmtune.records.kinds import RunStarted
from bmtune.records.kinds import Status
from bmtune.records.kinds import TrialEnqueued
from bmtune.records.kinds import TrialFinished
from bmtune.records.kinds import TrialPromoted
from bmtune.records.kinds import TrialRecord
from bmtune.records.kinds import TrialStarted
from bmtune.records.kinds import TrialTaken
from bmtune.records.kinds import inner_path
from bmtune.records.kinds import merit
from bmtune.records.pareto import Aims
from bmtune.records.pareto import Point
from bmtune.records.pareto import Standing
from bmtune.records.pareto import aims_in
from bmtune.records.pareto import beats
from bmtune.records.pareto import nearest
from bmtune.records.pareto import pareto_set
from bmtune.records.pareto import places_among
from bmtune.records.pareto import ranked

__all__ = [
    "FORMAT",
    "READABLE",
    "VERSION",
    "Aims",
    "Bound",
    "Change",
    "CheckpointWritten",
    "Damage",
    "Epoch",
    "Glance",
    "LaneWatcher",
    "LinesRead",
    "Listener",
    "Metrics",
    "Notice",
    "Objective",
    "Point",
    "PretrainingShared",
    "Record",
    "RecordWriter",
    "RecordsRead",
    "RunFinished",
    "RunListener",
    "RunResumed",
    "RunStarted",
    "Rung",
    "Standing",
    "Status",
    "TrialEnqueued",
    "TrialFinished",
    "TrialPromoted",
    "TrialRecord",
    "TrialStarted",
    "TrialTaken",
    "aims_in",
    "beats",
    "body_of",
    "cut",
    "damaged",
    "from_line",
    "glance",
    "inner_path",
    "merit",
    "nearest",
    "pareto_set",
    "places_among",
    "ranked",
    "read_lines",
    "read_records",
    "rewrite",
    "to_line",
]
