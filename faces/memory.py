"""Fresh memory for pixels.

On the CPU it comes through NumPy, which asks Linux for huge pages. A copy of a 4K frame then takes half the time of
``Tensor.clone``, most of which is the system handing out small pages.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def empty(*shape: int, device: torch.device) -> Tensor:
    """Float32 of that shape, with whatever is in memory."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, device=device)


def zeros(*shape: int, device: torch.device) -> Tensor:
    """Float32 zeros of that shape. On the CPU a page of them takes memory only once something is written to it."""
    if device.type == "cpu":
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, device=device)


def duplicate(frames: Tensor) -> Tensor:
    """A copy that may be written to."""
    if frames.dtype != torch.float32:
        return frames.clone()
    return empty(*frames.shape, device=frames.device).copy_(frames)
