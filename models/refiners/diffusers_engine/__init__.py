"""Repainting with models of the Stable Diffusion kind that diffusers holds, with or without ComfyUI."""

from __future__ import annotations

from .folder import is_diffusers_folder
from .loading import InpaintPrecision, load_inpainter
from .noise import SCHEDULES
from .refiner import DiffusersRefiner
from .samplers import SAMPLERS

__all__ = ["SAMPLERS", "SCHEDULES", "DiffusersRefiner", "InpaintPrecision", "is_diffusers_folder", "load_inpainter"]
