"""What networks that fill or colour faces get instead of the crop, and what is taken of their output."""

from __future__ import annotations

import torch
from torch import Tensor

from ...faces.colour import LUMA
from .network import Task


def network_input(task: Task, crops: Tensor, hidden: Tensor | None) -> Tensor:
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


def restored_crops(task: Task, crops: Tensor, output: Tensor, hidden: Tensor | None) -> Tensor:
    """The output of a network; of one that fills only the hidden parts, the rest as in ``crops``. Shapes as above."""
    return torch.where(hidden[:, None], output, crops) if task == "fill" and hidden is not None else output
