"""Repainting with models of the Stable Diffusion kind that diffusers holds, with or without ComfyUI."""

from __future__ import annotations

from .folder import is_diffusers_folder
from .loading import load_inpainter
from .noise import SCHEDULES
from .precision import AUTO, AUTO_TEXT, PRECISIONS, ChosenPrecision, InpaintPrecision, precision_on
from .refiner import DiffusersRefiner
from .samplers import SAMPLERS

__all__ = [
    "AUTO",
    "AUTO_TEXT",
    "PRECISIONS",
    "SAMPLERS",
    "SCHEDULES",
    "ChosenPrecision",
    "DiffusersRefiner",
    "InpaintPrecision",
    "is_diffusers_folder",
    "load_inpainter",
    "precision_on",
]
