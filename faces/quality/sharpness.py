"""How sharp the edges of a face are, in proportion to the face."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Scales of the two looks at an edge, in pixels. Both are wide enough to average noise and JPEG blocks away.
_FINE, _COARSE = 1.0, 2.0
# A slope between the pixels to the left and to the right is the mean over two pixels, which widens an edge as well.
_SLOPE_VARIANCE = 1 / 3
# The share of the pixels in the middle of an edge that counts: those of the strongest edges.
_EDGES = 0.2
# In pixels: nothing narrower can be told apart.
_LEAST_WIDTH = 0.5


def sharpness(luma: Tensor, mask: Tensor) -> Tensor:
    """``[N]``: 1 over the width of the strongest edges in pixels, so that it falls as they blur; at most 2.

    An edge that was blurred by a Gaussian of deviation ``s`` has its gradient lowered by another one of deviation
    ``a`` in proportion to ``1 / sqrt(s^2 + a^2)``. From the ratio of the gradients at two scales follows ``s``,
    whatever the contrast of the edge (Zhuo and Sim, "Defocus map estimation from a single image", 2011; after Elder and
    Zucker, "Local scale control for edge detection and blur estimation", 1998). The ratio is that of the least-squares
    line through the gradients in the middle of all strong edges.

    Args:
        luma: ``[N, S, S]`` 0..1.
        mask: ``[N, S, S]``; only pixels where it is above one half count.

    Returns:
        NaN where a picture has no edge at all.
    """
    fine = _gradient(_smooth(luma, _FINE)).norm(dim=1)
    slopes = _gradient(_smooth(luma, _COARSE))
    coarse = slopes.norm(dim=1)
    on_edge = _ridge(slopes, coarse) & (mask[:, 2:-2, 2:-2] > 0.5)
    fine, coarse = (torch.where(on_edge, each[:, 1:-1, 1:-1], 0.0).flatten(1) for each in (fine, coarse))
    strongest, places = coarse.topk(max(1, round(_EDGES * coarse.shape[1])), dim=1)
    # Where few pixels are on edges, as many of them count in proportion.
    wanted = (on_edge.flatten(1).sum(1, keepdim=True) * _EDGES).round().clamp_min(1)
    order = torch.arange(strongest.shape[1], device=luma.device)
    strongest = torch.where(order < wanted, strongest, 0.0)
    ratio = (fine.gather(1, places) * strongest).sum(1) / strongest.square().sum(1)
    fine_variance, coarse_variance = _FINE**2 + _SLOPE_VARIANCE, _COARSE**2 + _SLOPE_VARIANCE
    variance = (coarse_variance - ratio.square() * fine_variance) / (ratio.square() - 1).clamp_min(1e-6)
    return torch.where(strongest[:, 0] > 1e-4, 1 / variance.clamp_min(_LEAST_WIDTH**2).sqrt(), math.nan)


def _ridge(slopes: Tensor, gradient: Tensor) -> Tensor:
    """Whether a gradient is the greatest of three along the axis on which it is steeper: in the middle of an edge.

    Args:
        slopes: ``[N, 2, H, W]``, across and down.
        gradient: ``[N, H, W]``, their length.

    Returns:
        ``[N, H - 2, W - 2]``
    """
    middle = gradient[:, 1:-1, 1:-1]
    across = (middle >= gradient[:, 1:-1, :-2]) & (middle >= gradient[:, 1:-1, 2:])
    down = (middle >= gradient[:, :-2, 1:-1]) & (middle >= gradient[:, 2:, 1:-1])
    steeper_across = slopes[:, 0, 1:-1, 1:-1].abs() >= slopes[:, 1, 1:-1, 1:-1].abs()
    return torch.where(steeper_across, across, down)


def _smooth(luma: Tensor, scale: float) -> Tensor:
    radius = math.ceil(4 * scale)
    place = torch.arange(-radius, radius + 1, dtype=luma.dtype, device=luma.device)
    kernel = torch.exp(-0.5 * (place / scale).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(luma[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])[:, 0]


def _gradient(luma: Tensor) -> Tensor:
    """``[N, 2, H - 2, W - 2]``: slopes across and down, without the outermost pixels."""
    across = (luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2]) / 2
    down = (luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1]) / 2
    return torch.stack((across, down), dim=1)
