"""Packs: many trials as one batched program. Takes a recipe and knows none."""

from bmtune.packing.key import pack_key
from bmtune.packing.pack import Lane
from bmtune.packing.pack import advance_lanes

__all__ = ["Lane", "advance_lanes", "pack_key"]
