"""Masks of aligned crops: 1 where the restored face counts, 0 at the border of the crop.

All are made in crop space, so that their feather looks the same for every size of face. A soft edge is
``phi(d / sigma)`` (:func:`~.distance.phi`) of the distance ``d`` to the edge: what blurring a hard mask with a Gaussian
gives, without blurring.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .alignment import FFHQ, Template
from .distance import phi, to_ellipse, to_hull
from .face import Point

MaskShape = Literal["square", "ellipse", "hull", "parse"]
"""``parse`` is the square as far as a parser sees face in it: see :mod:`.regions`."""

# facexlib moves the sides of its square in by a twentieth and blurs with OpenCV's sigma for a kernel twice as wide,
# 0.3 * (side / 20 - 1) + 0.8, which is 0.015 of the side.
FEATHER = 0.015
_INSET = 1 / 20

RIM = 3.0
"""How far the sides of a mask are moved in from those of the crop, in standard deviations of its feather, so that the
feather has ended where the crop does."""


# Middle and radii of the oval of a face as shares of an FFHQ crop, read off aligned faces: from the hairline to under
# the chin, from ear to ear, and clear of the border.
_OVAL_MIDDLE, _OVAL_WIDTH, _OVAL_HEIGHT = 0.52, 0.34, 0.4


def soft_square(size: int, feather: float = FEATHER, device: torch.device | str = "cpu") -> Tensor:
    """``[size, size]``: a square inside the crop with soft sides (facexlib's mask in closed form).

    Args:
        feather: standard deviation of the edge as a share of the side. The square is moved in with it, never less
            than a twentieth of the side.
    """
    sigma = feather * size
    # Half a pixel more, so that the outermost pixels of small crops are 0 as well.
    inset = max(_INSET * size, 0.5 + RIM * sigma)
    place = torch.arange(size, dtype=torch.float32, device=device)
    profile = phi((place + 0.5 - inset) / sigma) * phi((size - inset - place - 0.5) / sigma)
    return _fade_to_zero(profile[:, None] * profile[None, :])


def ellipse(
    size: int, feather: float = FEATHER, device: torch.device | str = "cpu", template: Template = FFHQ
) -> Tensor:
    """``[size, size]``: the oval of an aligned face, from the hairline to under the chin."""
    wide, high = (template.face_scale * half * size for half in (_OVAL_WIDTH, _OVAL_HEIGHT))
    across = (template.face_scale * 0.5 + template.face_shift[0]) * size
    down = (template.face_scale * _OVAL_MIDDLE + template.face_shift[1]) * size
    distance = to_ellipse((across - wide, down - high, across + wide, down + high), *_pixels(size, device))
    return _fade_to_zero(phi(-distance / (feather * size)) * soft_square(size, feather, device))


def hull(
    points: tuple[Point, ...], size: int, grow: float, feather: float = FEATHER, device: torch.device | str = "cpu"
) -> Tensor:
    """``[size, size]``: the convex hull of landmarks in crop pixels, grown on all sides.

    Args:
        points: at least one landmark.
        grow: by how much, as a share of the side of the crop.
    """
    x, y = _pixels(size, device)
    distance = grow * size - to_hull(points, x - 0.5, y - 0.5).clamp_min(0)
    return _fade_to_zero(phi(distance / (feather * size)) * soft_square(size, feather, device))


def polygon(points: tuple[Point, ...], height: int, width: int) -> Tensor:
    """``[height, width]``: 1 inside a polygon given in pixels, by the even-odd rule at pixel centres, else 0."""
    begin = torch.tensor(points, dtype=torch.float64)
    end = begin.roll(-1, 0)
    y = torch.arange(height, dtype=torch.float64)[:, None]
    crosses = (y >= torch.minimum(begin, end)[:, 1]) & (y < torch.maximum(begin, end)[:, 1])
    row, edge = crosses.nonzero(as_tuple=True)
    (x, upper), (other_x, lower) = begin[edge].T, end[edge].T
    across = (x + (row - upper) * ((other_x - x) / (lower - upper))).ceil().clamp(0, width).long()
    # A pixel is inside where an odd number of edges cross its row to the left of it. Counts of bytes stay odd or even
    # when they overflow.
    one = torch.ones((), dtype=torch.uint8)
    found = torch.zeros(height, width + 1, dtype=torch.uint8).index_put_((row, across), one, accumulate=True)
    return (found.cumsum(1, dtype=torch.uint8)[:, :width] & 1).float()


def _pixels(size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Distances of pixel centres from the left and top edge of the crop."""
    place = torch.arange(size, dtype=torch.float32, device=device) + 0.5
    return place[None, :], place[:, None]


def _fade_to_zero(mask: Tensor) -> Tensor:
    """Takes the tail of the Gaussian off, so that a mask ends in exact zeros before the border of the crop."""
    tail = 1 / 256
    return mask.sub_(tail).div_(1 - tail).clamp_min_(0)
