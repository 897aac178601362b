"""Packs: many trials as one batched program. Takes a recipe and knows none."""

from bmtune.packing.key import pack_key
from bmtune.packing.memory import names_memory
from bmtune.packing.memory import ran_out
from bmtune.packing.pack import Lane
from bmtune.packing.pack import advance_lanes
from bmtune.packing.width import Widths
from bmtune.packing.width import split

__all__ = ["Lane", "Widths", "advance_lanes", "names_memory", "pack_key", "ran_out", "split"]
