"""ComfyUI's own models as the ones that repaint faces."""

from __future__ import annotations

from .engine import ComfyRefiner
from .schedule import sampler_names, scheduler_names

__all__ = ["ComfyRefiner", "sampler_names", "scheduler_names"]
