"""Differential diffusion: the mask says from which step on a place is repainted.

Levin and Fried, "Differential Diffusion: Giving Each Pixel Its Strength" (2023). Time is measured in the model's own
timesteps, as ComfyUI's node of that name does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

MaskFunction = Callable[[Tensor, Tensor, Mapping[str, Any]], Tensor]


def differential(strength: float) -> MaskFunction:
    """What a model's options hold as ``denoise_mask_function``: the mask for the noise level at hand.

    Args:
        strength: 1 compares the mask with the threshold; 0 leaves it as it is; between them it is blended.
    """

    def mask_at(sigma: Tensor, denoise_mask: Tensor, extra_options: Mapping[str, Any]) -> Tensor:
        levels: Tensor = extra_options["sigmas"]
        sampling = extra_options["model"].inner_model.model_sampling
        # A schedule ends at 0, which has no timestep; the model knows nothing below its lowest level.
        lowest = torch.clamp(levels[-1], min=float(sampling.sigma_min))
        start, now, end = (sampling.timestep(level) for level in (levels[0], sigma[0], lowest))
        # One single step may begin at the lowest level.
        threshold = (now - end) / (start - end) if start > end else torch.zeros_like(sigma[0])
        repainted = (denoise_mask >= threshold).to(denoise_mask.dtype)
        return torch.lerp(denoise_mask, repainted, strength)

    return mask_at
