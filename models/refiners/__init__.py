"""Diffusion models that repaint faces."""

from __future__ import annotations

from .pieces import pieces_of
from .refiner import LEAST_DENOISE, Mode, Refiner, Repaint, Sampling

__all__ = ["LEAST_DENOISE", "Mode", "Refiner", "Repaint", "Sampling", "pieces_of"]
