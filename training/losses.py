"""What a restored face is measured by while the network learns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.restorers.visage.bands import bands

# Sides in pixels of the squares within which a band's strength is compared: some wavelengths of the band each.
_SQUARES = (8, 16, 32)
# Below this root mean square, about a quarter of a level of 255, strength counts as none.
_FLOOR = 1e-3
# Root mean square difference of a face that is badly, but not hopelessly, damaged.
_TYPICAL = 0.03
# Below one level of 255 a difference is of no account.
_INVISIBLE = 1 / 255
# Below three levels a picture is hardly damaged.
_SLIGHT = 3 / 255


def log_error(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean over pictures of the logarithm of the root mean square difference: what PSNR is made of.

    As in Chen et al., "HINet", 2021. A picture that is hardly damaged counts as much as one of which little is left;
    differences themselves would make the network learn from the worst ones alone. Scaled so that a picture of the
    error :data:`_TYPICAL` is moved as by its plain root mean square difference.
    """
    errors = (restored - truth).square().mean(dim=(1, 2, 3))
    return 0.5 * _TYPICAL * torch.log(errors + _INVISIBLE**2).mean()


def relative_error(restored: Tensor, truth: Tensor, damaged: Tensor) -> Tensor:
    """Mean over pictures of the root mean square difference over that of the damaged picture.

    Weighs pictures nearly as :func:`log_error`, whose gradient for those that are hardly damaged is so steep that a
    network which knows nothing yet only learns to leave all of them alone. Scaled as it.
    """
    left, found = ((images - truth).square().mean(dim=(1, 2, 3)) for images in (restored, damaged))
    return _TYPICAL * (torch.sqrt(left + _INVISIBLE**2) / (torch.sqrt(found) + _SLIGHT)).mean()


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


def identity_loss(restored: Tensor, truth: Tensor) -> Tensor:
    """1 minus the cosine between embeddings of length 1, ``[N, D]`` each: 0 for the same person."""
    return (1 - (restored * truth).sum(dim=1)).mean()


def discriminator_loss(true: Tensor, made: Tensor) -> Tensor:
    """The discriminator's loss (hinge; Lim and Ye, "Geometric GAN", 2017), on its scores of true and made patches."""
    return F.relu(1 - true).mean() + F.relu(1 + made).mean()


def generator_loss(made: Tensor) -> Tensor:
    """The restorer's part of it."""
    return -made.mean()
