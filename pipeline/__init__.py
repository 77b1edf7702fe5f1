"""The jobs themselves: what a node and the command line both call."""

from __future__ import annotations

from .blending import BlendSettings, paste_crops
from .restoring import Outcome, Restoration, RestorationError, RestoreSettings, restore

__all__ = [
    "BlendSettings",
    "Outcome",
    "Restoration",
    "RestorationError",
    "RestoreSettings",
    "paste_crops",
    "restore",
]
