"""What a restored face is measured by while the network learns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .texture import bands

# Sides in pixels of the squares within which a band's strength is compared: some wavelengths of the band each.
_SQUARES = (8, 16, 32)
# Below this root mean square, about a quarter of a level of 255, strength counts as none.
_FLOOR = 1e-3


def charbonnier(restored: Tensor, truth: Tensor, softness: float = 1e-3) -> Tensor:
    """Mean absolute difference, round at the bottom (Charbonnier et al., 1994; weight as in Lai et al., 2017)."""
    return torch.sqrt((restored - truth).square() + softness**2).mean()


def texture_strength(restored: Tensor, truth: Tensor) -> Tensor:
    """How far the root mean square of each band is from the truth's, square by square of the picture.

    A difference of pixels wants the mean of all textures that might be there, which is none. This asks for texture of
    the right strength at the right place, whatever its phase, and for no more than that.

    Args:
        restored, truth: ``[N, 3, H, W]``, 0..1.
    """
    total = restored.new_zeros(())
    for made, true, side in zip(bands(restored), bands(truth), _SQUARES, strict=True):
        total = total + (_strength(made, side) - _strength(true, side)).abs().mean()
    return total


def _strength(band: Tensor, side: int) -> Tensor:
    return torch.sqrt(F.avg_pool2d(band.square(), side) + _FLOOR**2)


def unlike(restored: Tensor, truth: Tensor) -> Tensor:
    """1 minus the cosine between embeddings of length 1, ``[N, D]`` each: 0 for the same person."""
    return (1 - (restored * truth).sum(dim=1)).mean()


def told_apart(true: Tensor, made: Tensor) -> Tensor:
    """The discriminator's loss (hinge; Lim and Ye, "Geometric GAN", 2017), on its scores of true and made patches."""
    return F.relu(1 - true).mean() + F.relu(1 + made).mean()


def fooled(made: Tensor) -> Tensor:
    """The restorer's part of it."""
    return -made.mean()
