"""What networks that fill or colour faces are shown instead of the crop, and what is kept of what they give."""

from __future__ import annotations

import torch
from torch import Tensor

from ...faces.colour import LUMA
from .network import Task


def shown(task: Task, crops: Tensor, hidden: Tensor | None) -> Tensor:
    """The input of a network: hidden parts white, or the crop in grey.

    Args:
        crops: ``[N, 3, S, S]`` 0..1.
        hidden: ``[N, S, S]`` bool, what is to be filled.
    """
    if task == "fill" and hidden is not None:
        return crops.masked_fill(hidden[:, None], 1.0)
    if task == "colour":
        # As the conversion in CodeFormer's training.
        weights = torch.tensor(LUMA, dtype=crops.dtype, device=crops.device).view(1, 3, 1, 1)
        return (crops * weights).sum(dim=1, keepdim=True).expand_as(crops)
    return crops


def kept(task: Task, crops: Tensor, output: Tensor, hidden: Tensor | None) -> Tensor:
    """Of a network that fills, only what was hidden; of others all."""
    return torch.where(hidden[:, None], output, crops) if task == "fill" and hidden is not None else output
