"""Short names of hyperparameters, for axes and columns."""

from collections.abc import Sequence


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest end of each path that no other path has: `critic.optimizer.lr` beside `ganstyle.optimizer.lr`.

    A `name`, which chooses between the members of a section, keeps the section's name.
    """
    found = {}
    for path in paths:
        parts = path.split(".")
        others = [other.split(".") for other in paths if other != path]
        fewest = 2 if parts[-1] == "name" else 1
        count = next(
            (count for count in range(fewest, len(parts)) if all(other[-count:] != parts[-count:] for other in others)),
            len(parts),
        )
        found[path] = ".".join(parts[-count:])
    return found
