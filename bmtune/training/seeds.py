"""Seeds derived from a trial's seed, one for each use, so that nothing depends on what ran before."""

from hashlib import blake2b


def derive(seed: int, *uses: str | int) -> int:
    """A seed for one use: the same for the same arguments, unrelated for others.

    Since every epoch draws from a seed of its own, a resumed trial needs no generator state.
    """
    text = "/".join(str(part) for part in (seed, *uses))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1
