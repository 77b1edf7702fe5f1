"""Colour in CIE Lab, and matching the colour of one picture to another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# sRGB (IEC 61966-2-1) to XYZ for the D65 white point.
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_FROM_XYZ = torch.linalg.inv(torch.tensor(_TO_XYZ, dtype=torch.float64)).tolist()
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of sRGB values as they are (ITU-R BT.601)."""

# Chroma may be strengthened by a quarter at most: more turns noise into blotches. It may be weakened to nothing,
# which keeps black-and-white photographs black and white.
_MAX_CHROMA_GAIN = 1.25

# Rows and columns of areas, at least, in which colours are compared, where there are that many pixels. Pixel by pixel
# the noise of the reference, which a restorer takes away, would count as colour that is lacking.
_AREAS = 32


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB ``[..., 3]`` 0..1 to Lab ``[..., 3]``, L 0..100 (CIE 15, D65)."""
    planes = _planes(rgb)
    linear = torch.where(planes <= 0.04045, planes / 12.92, _power_((planes + 0.055).div_(1.055), 2.4))
    xyz = _product(_TO_XYZ, linear).div_(_column(_WHITE, linear))
    bright = xyz > _EPSILON
    dark = (_KAPPA * xyz).add_(16).div_(116)
    x, y, z = torch.where(bright, _power_(xyz, 1 / 3), dark).view_as(planes)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)]).movedim(0, -1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Lab ``[..., 3]`` to sRGB ``[..., 3]``. Colours outside sRGB come out beyond 0..1."""
    light, a, b = _planes(lab)
    y = (light + 16).div_(116)
    f = torch.stack([y + a / 500, y, y - b / 200])
    cubes = f**3
    xyz = torch.where(cubes > _EPSILON, cubes, (116 * f).sub_(16).div_(_KAPPA)).view(3, -1)
    linear = _product(_FROM_XYZ, xyz.mul_(_column(_WHITE, xyz))).view_as(f)
    dark, straight = linear <= 0.0031308, linear * 12.92
    return torch.where(dark, straight, _power_(linear, 1 / 2.4).mul_(1.055).sub_(0.055)).movedim(0, -1)


@dataclass(frozen=True, eq=False)
class ColourShift:
    """What takes the colours of images to those of their references.

    Attributes:
        mean, goal: ``[N, 1, 1, 3]`` Lab, of the images and of the references.
        gain: ``[N, 1, 1, 3]``, on the distance from the mean.
        known: ``[N, 1, 1, 1]``, whether anything counted; if not, an image is left as it is.
    """

    mean: Tensor
    goal: Tensor
    gain: Tensor
    known: Tensor

    def apply(self, images: Tensor, strength: float = 1.0) -> Tensor:
        """``[N, H, W, 3]`` 0..1, shifted. A strength of 0 gives ``images`` itself."""
        if strength == 0:
            return images
        # On the CPU one by one: there, fresh memory for all of them takes as long as the work on it.
        together = 1 if images.device.type == "cpu" else len(images)
        shifted = torch.empty_like(images)
        for start in range(0, len(images), together):
            some = slice(start, start + together)
            lab = rgb_to_lab(images[some]).sub_(self.mean[some]).mul_(self.gain[some]).add_(self.goal[some])
            matched = torch.lerp(images[some], lab_to_rgb(lab).clamp_(0, 1), strength)
            shifted[some] = torch.where(self.known[some], matched, images[some])
        return shifted


def colour_shift(images: Tensor, reference: Tensor, weights: Tensor) -> ColourShift:
    """Finds the shift that gives each image the mean colour and the spread of chroma of its reference.

    Lightness is only shifted: its spread is contrast, which a restorer is meant to change. Statistics are those of
    Reinhard et al., "Color transfer between images" (2001), in Lab.

    Args:
        images, reference: ``[N, h, w, 3]`` 0..1, before the shift, and what they were made from.
        weights: ``[N, h, w]`` what counts in the statistics, 0..1.
    """
    weight = weights[..., None]
    total = weight.sum((1, 2), keepdim=True)
    mean, spread = _moments(rgb_to_lab(images), weight, total)
    goal_mean, goal_spread = _moments(rgb_to_lab(reference), weight, total)
    gain = (goal_spread / spread.clamp_min(1e-6)).clamp(0, _MAX_CHROMA_GAIN)
    gain[..., 0] = 1
    return ColourShift(mean, goal_mean, gain, total > 0)


def match_colour(images: Tensor, reference: Tensor, weights: Tensor, strength: float = 1.0) -> Tensor:
    """Gives each image the colours of its reference, as :func:`colour_shift` finds them.

    Args:
        images: ``[N, H, W, 3]`` 0..1.
        reference: ``[N, h, w, 3]`` 0..1, what the images were made from, of any size.
        weights: ``[N, h, w]`` what counts in the statistics, 0..1. An image with no weight at all is left as it is.
        strength: 0 gives ``images`` itself, 1 the full match.
    """
    if strength == 0:
        return images
    coarse = images
    if images.shape != reference.shape:
        coarse = F.interpolate(images.movedim(-1, 1), size=reference.shape[1:3], mode="area").movedim(1, -1)
    side = max(1, min(reference.shape[1:3]) // _AREAS)
    counts = F.avg_pool2d(weights[:, None], side)[:, 0]
    return colour_shift(_areas(coarse, side), _areas(reference, side), counts).apply(images, strength)


def _areas(images: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(images.movedim(-1, 1), side).movedim(1, -1)


def _moments(lab: Tensor, weight: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    share = weight / total.clamp_min(1e-6)
    lab = lab.contiguous()
    mean = (lab * share).sum((1, 2), keepdim=True)
    return mean, ((lab - mean) ** 2 * share).sum((1, 2), keepdim=True).sqrt()


def _planes(images: Tensor) -> Tensor:
    """``[3, ...]``, contiguous, of ``[..., 3]``: the CPU is quicker plane by plane."""
    return images.movedim(-1, 0).contiguous()


def _product(matrix: Sequence[Sequence[float]], planes: Tensor) -> Tensor:
    """``[3, n]``: a matrix times all pixels of planes ``[3, ...]``."""
    return planes.new_tensor(matrix) @ planes.reshape(3, -1)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """``[3, 1]``"""
    return like.new_tensor(values)[:, None]


def _power_(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent`` in its place for what is above 0, to 3e-6. A logarithm and an exponential take half the time
    of a power on the CPU."""
    return base.clamp_min_(1e-9).log_().mul_(exponent).exp_()
