"""Diffusion models that repaint faces."""

from __future__ import annotations

from .refiner import Mode, Refiner, Repaint, Sampling

__all__ = ["Mode", "Refiner", "Repaint", "Sampling"]
