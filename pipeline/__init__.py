"""The jobs themselves: what a node and the command line both call."""

from __future__ import annotations

from .blending import BlendSettings, paste_crops
from .outcome import Outcome
from .prompts import PromptError, Wildcards
from .refine_painting import RefinementError
from .refine_plan import PromptSource
from .refine_settings import RefineSettings
from .refining import Refinement, refine
from .restoring import Alignment, Restoration, RestorationError, RestoreSettings, restore

__all__ = [
    "Alignment",
    "BlendSettings",
    "Outcome",
    "PromptError",
    "PromptSource",
    "RefineSettings",
    "Refinement",
    "RefinementError",
    "Restoration",
    "RestorationError",
    "RestoreSettings",
    "Wildcards",
    "paste_crops",
    "refine",
    "restore",
]
