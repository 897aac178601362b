"""Which hyperparameters may differ between the trials of one pack, read from the configuration's own marks."""

import math
from collections.abc import Mapping
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bmtune.config.base import Lane
from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import Dimension
from bmtune.config.dimensions import FloatDimension
from bmtune.config.root import TrialConfig
from bmtune.config.shape import members

SECTIONS: Mapping[str, str] = {
    "pre": "trainer.classification",
    "critic": "trainer.ganstyle",
    "gan": "trainer.ganstyle",
    "re": "trainer.ganstyle.retrain",
    "gen": "trainer.generative",
    "adv": "trainer.adversarial",
}
"""Where the configuration of each phase lies."""

PHASES: Mapping[str, tuple[str, ...]] = {
    "classification": ("pre",),
    "gan": ("pre", "critic", "gan", "re"),
    "generative": ("pre", "gen"),
    "adversarial": ("pre", "adv"),
}
"""The phases that a recipe may go through."""

COMMON = ("born", "data", "evaluation")
"""What every phase depends on besides its own section."""

FEW = 4
"""So many kinds of pack still hold many trials each."""


def fixed_in(phase: str, path: str) -> bool:
    """Whether the trials that train a phase together must have the same value at a dotted path."""
    section = next((root for root in (SECTIONS[phase], *COMMON) if path.startswith(f"{root}.")), None)
    # Evaluation is the same for all, marks or no marks.
    return section == "evaluation" or (section is not None and not _marked(path, section))


def _marked(path: str, section: str) -> bool:
    """Whether a field on the way from a section to a path is marked as a trial's own."""
    owners: tuple[type[BaseModel], ...] = (TrialConfig,)
    above = section.count(".") + 1
    for depth, part in enumerate(path.split(".")):
        fields: list[FieldInfo] = [owner.model_fields[part] for owner in owners if part in owner.model_fields]
        if depth >= above and any(isinstance(mark, Lane) for field in fields for mark in field.metadata):
            return True
        owners = tuple(model for field in fields for model in members(field.annotation))
    return False


def prevents_sharing(base: TrialConfig, parameters: Sequence[tuple[str, Dimension]]) -> tuple[str, ...]:
    """The searched paths that keep trials from being trained together; none where their values are few.

    Args:
        base: The configuration of everything that is not searched.
        parameters: Searched dimensions by path.
    """
    pretrains = base.pretrains or any(path.endswith(".pretrain") for path, _ in parameters)
    phases = [phase for phase in PHASES[base.recipe] if phase != "pre" or pretrains or base.recipe == "classification"]
    found = [(path, dimension) for path, dimension in parameters if any(fixed_in(phase, path) for phase in phases)]
    kinds = math.prod(_num_values(dimension) for _, dimension in found)
    return tuple(path for path, _ in found) if kinds > FEW else ()


def _num_values(dimension: Dimension) -> float:
    if isinstance(dimension, CategoricalDimension):
        return len(dimension.choices)
    if isinstance(dimension, FloatDimension):
        return math.inf if dimension.step is None else round((dimension.high - dimension.low) // dimension.step) + 1
    return (dimension.high - dimension.low) // dimension.step + 1


def sharing_hint(base: TrialConfig, parameters: Sequence[tuple[str, Dimension]]) -> str | None:
    """One sentence about what keeps trials apart and what to do; None where they share packs well."""
    paths = prevents_sharing(base, parameters)
    if not paths:
        return None
    them = "it" if len(paths) == 1 else "them"
    return (
        f"packs are shared only by trials with equal {', '.join(paths)}, so that packs stay small; "
        f"fix {them} with --set, or search fewer values"
    )
