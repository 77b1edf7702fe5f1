"""How much fine texture a picture holds, band by band."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.restorers.visage.bands import bands


def energies(images: Tensor) -> Tensor:
    """Mean square of each band for each picture, ``[N, len(SIGMAS)]``."""
    return torch.stack([band.square().mean(dim=(1, 2, 3)) for band in bands(images)], dim=1)
