"""Fresh memory for pixels.

On the CPU it comes through NumPy, which asks the system for huge pages: a new 4K frame of float32 then costs 19 ms
instead of 38 ms on two cores, most of which is the system handing out pages (`python benchmarks/glue.py`).
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


def duplicate(frames: Tensor) -> Tensor:
    """A copy that may be written to."""
    if frames.dtype != torch.float32:
        return frames.clone()
    return empty(*frames.shape, device=frames.device).copy_(frames)
