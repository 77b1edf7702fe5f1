"""The octaves of a picture's brightness: what lies between ever wider Gaussians."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ....faces.colour import LUMA

SIGMAS = (1.0, 2.0, 4.0)
"""Standard deviations, in pixels, of the Gaussians between which the bands lie: pores and single hairs, lashes and
strands, folds."""


def luma(images: Tensor) -> Tensor:
    """``[N, 3, H, W]`` RGB to ``[N, 1, H, W]``."""
    return torch.einsum("c,nchw->nhw", images.new_tensor(LUMA), images)[:, None]


def bands(images: Tensor) -> list[Tensor]:
    """The differences between ever more blurred copies of the brightness, the finest first: each ``[N, 1, H, W]``.

    Args:
        images: ``[N, 3, H, W]``, RGB, 0..1. Borders are replicated.
    """
    last = luma(images)
    found = []
    before = 0.0
    for sigma in SIGMAS:
        # Gaussians add up by their squares.
        blurred = gaussian(last, math.sqrt(sigma**2 - before**2))
        found.append(last - blurred)
        last, before = blurred, sigma
    return found


def gaussian(planes: Tensor, sigma: float) -> Tensor:
    """Blurs ``[N, 1, H, W]``; the kernel reaches as far as three standard deviations.

    As products with one matrix for the rows and one for the columns: convolutions of a single channel take CPUs ten
    times as long, and their gradients more.
    """
    height, width = planes.shape[2:]
    rows, columns = (_matrix(side, sigma, planes.device).to(planes.dtype) for side in (height, width))
    return rows @ planes @ columns.T


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _matrix(side: int, sigma: float, device: torch.device) -> Tensor:
    """Weights ``[side, side]`` of each sample in each blurred one; what lies outside is the outermost sample.

    A plain tensor also where it is first asked for in inference mode, so that training may use it later.
    """
    radius = math.ceil(3 * sigma)
    weights = torch.tensor([math.exp(-0.5 * (place / sigma) ** 2) for place in range(-radius, radius + 1)])
    matrix = torch.zeros(side, side)
    for place, weight in zip(range(-radius, radius + 1), weights / weights.sum(), strict=True):
        here = torch.arange(side)
        matrix[here, (here + place).clamp(0, side - 1)] += weight
    return matrix.to(device)
