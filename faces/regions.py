"""Regions of a face (hair, lips, glasses, ...) and masks made of them.

A parser gives region maps: for every pixel of a crop the probability of each region, in the order of :data:`REGIONS`.
Everything here works in crop space, so that what is asked for looks the same at every size of face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Region = Literal[
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "left ear",
    "right ear",
    "earring",
    "nose",
    "mouth",
    "upper lip",
    "lower lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
]
"""The classes of CelebAMask-HQ, from which parsers learn; left and right, and mouth for what is between the lips, are
its words."""

REGIONS: tuple[Region, ...] = get_args(Region)

# What facexlib and CodeFormer put back: everything but these.
_LEFT_ALONE: frozenset[Region] = frozenset({"background", "neck", "necklace", "cloth", "hat"})
FACE_REGIONS: tuple[Region, ...] = tuple(region for region in REGIONS if region not in _LEFT_ALONE)

# How far each diagonal of a regular octagon's sweep goes along both axes, as a share of the whole.
_DIAGONAL = 1 - 1 / math.sqrt(2)
# A network is never quite sure. Probabilities of less than this count as none, and what lacks less to 1 as all, so that
# a mask ends in exact zeros and pixels far from it keep their very bits.
_DOUBT = 0.02
# A Gaussian of less than this many pixels leaves every pixel to itself, to 1 in 10^5.
_SHARP = 0.2
# How far the blur reaches, in standard deviations. What is beyond is 1/16000 of the whole.
_REACH = 4.0


def region_mask(maps: Tensor, regions: Sequence[Region], grow: float = 0.0, feather: float = 0.0) -> Tensor:
    """``[N, S, S]`` 0..1: the part of crops that belongs to any of some regions.

    Args:
        maps: ``[N, R, S, S]`` 0..1, R in the order of :data:`REGIONS`: probabilities that add up to one, or ones and
            zeros. A probability within 0.02 of 0 or 1 counts as that.
        regions: none at all give an empty mask.
        grow: by how much the part is grown on all sides, as a share of the side of the crop; below 0 it shrinks.
        feather: softness of its edge, as the standard deviation of a Gaussian and a share of the side of the crop.

    Raises:
        ValueError: the maps are of another shape, or the feather is negative.
    """
    if maps.ndim != 4 or maps.shape[1] != len(REGIONS) or maps.shape[2] != maps.shape[3]:
        raise ValueError(f"Region maps have the shape [N, {len(REGIONS)}, S, S], not {list(maps.shape)}.")
    if feather < 0:
        raise ValueError(f"The feather must not be negative, but is {feather}.")
    size = maps.shape[-1]
    chosen = torch.tensor([float(region in regions) for region in REGIONS], device=maps.device)
    # As a product of matrices, which makes no copy of the maps.
    mask = (chosen @ maps.float().flatten(2)).view(-1, size, size)
    mask = mask.sub_(_DOUBT).div_(1 - 2 * _DOUBT).clamp_(0, 1)
    mask = _grown(mask, round(grow * size))
    return _blurred(mask, feather * size) if feather * size > _SHARP else mask


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """Dilates by that many pixels (erodes, where negative) with a regular octagon, 8 % more than a disc at its corners.

    An octagon is what four lines sweep, one after the other: across, down, and the two diagonals.
    """
    if pixels < 0:
        return 1 - _grown(1 - mask, -pixels)
    # Along an axis the diagonals reach as far together as twice one of them. One pixel at least is left to the straight
    # lines, because the diagonals alone would sweep every other pixel.
    diagonal = min(round(_DIAGONAL * pixels), max(pixels - 1, 0) // 2)
    straight = pixels - 2 * diagonal
    for reach, down, across in ((straight, 0, 1), (straight, 1, 0), (diagonal, 1, 1), (diagonal, 1, -1)):
        mask = _swept(mask, reach, down, across)
    return mask


def _swept(mask: Tensor, reach: int, down: int, across: int) -> Tensor:
    """The greatest value on a line of ``reach`` pixels to both sides of every pixel, in that direction."""
    swept = F.pad(mask, (reach * abs(across),) * 2 + (reach * down,) * 2)
    length, whole = 1, 2 * reach + 1
    while length < whole:
        step = min(length, whole - length)
        ends = slice(None, -step), slice(step, None)
        everything = slice(None), slice(None)
        rows = ends if down else everything
        columns = (ends if across > 0 else ends[::-1]) if across else everything
        swept = torch.maximum(swept[:, rows[0], columns[0]], swept[:, rows[1], columns[1]])
        length += step
    return swept


def _blurred(mask: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with the standard deviation ``sigma`` in pixels, the mask mirrored at the border of the crop."""
    weights = _blur_weights(mask.shape[-1], sigma, mask.device)
    # Two products of matrices: on the CPU a sixth of the time of two convolutions with kernels as long as these.
    return (weights @ mask @ weights.T).clamp_(0, 1)


def _blur_weights(size: int, sigma: float, device: torch.device) -> Tensor:
    """``[size, size]``: the share of each old pixel of a row in each new one. Rows add up to one."""
    if size == 1:
        return torch.ones(1, 1, device=device)
    # Mirrored at both ends, without repeating the last pixel, a row repeats itself at this distance.
    period, reach = 2 * size - 2, math.ceil(_REACH * sigma)
    place = torch.arange(size, device=device)
    # By whole pixels of distance, and nothing beyond the reach.
    shares = torch.exp((torch.arange(reach + 2, device=device) / sigma) ** 2 / -2)
    shares[-1] = 0
    weights = torch.zeros(size, size, device=device)
    for turn in range(-(reach // period) - 1, reach // period + 2):
        for mirrored in (False, True):
            images = (-place if mirrored else place) + turn * period
            share = shares[(place[:, None] - images[None, :]).abs().clamp_max(reach + 1)]
            if mirrored:
                share[:, [0, -1]] = 0  # these are their own mirror images
            weights += share
    return weights / weights.sum(1, keepdim=True)
