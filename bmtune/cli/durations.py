"""Times as users write them: `90`, `90s`, `10m`, `1.5h`."""

import re

from bmtune.errors import ConfigError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str, option: str) -> float:
    """Seconds.

    Args:
        text: A positive number and a unit: s (also where there is none), m, h or d.
        option: The option that it was given to, for the message.

    Raises:
        ConfigError: It is something else.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ConfigError(
            f"{option} takes a positive time, but got {text!r} (command line: {option}); write 90s, 10m or 1.5h"
        )
    return seconds
