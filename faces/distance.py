"""Signed distances to shapes, and the soft masks that follow from them.

A distance is ``[h, w]`` float32 in pixels of a crop: negative inside the shape, positive outside. Growing a shape is a
subtraction, joining two is the minimum, cutting the common part is the maximum, inverting is the minus sign; and an
edge of any width is a clamped line. Nothing is blurred or dilated with kernels, so an edge costs the same at any width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..opencv import opencv
from .face import Box, Point

# Beyond every distance in a picture, yet small enough that sums of it stay exact.
_FAR = 1e6


def to_box(box: Box, x: Tensor, y: Tensor) -> Tensor:
    """Distance to a rectangle with upright sides.

    Args:
        box: left, top, right, bottom.
        x, y: ``[1, w]`` and ``[h, 1]``, where to measure.
    """
    across = (x - (box[0] + box[2]) / 2).abs() - (box[2] - box[0]) / 2
    down = (y - (box[1] + box[3]) / 2).abs() - (box[3] - box[1]) / 2
    outside = (across.clamp_min(0).square() + down.clamp_min(0).square()).sqrt_()
    return outside.add_(torch.maximum(across, down).clamp_max_(0))


def to_ellipse(box: Box, x: Tensor, y: Tensor) -> Tensor:
    """Distance to the ellipse in a rectangle, exact to first order around its outline.

    With ``r = |p / axes|`` it is ``r (r - 1) / |p / axes^2|``, which is 0 on the outline with a slope of 1 across it.
    """
    wide, high = max(box[2] - box[0], 1.0) / 2, max(box[3] - box[1], 1.0) / 2
    across, down = (x - (box[0] + box[2]) / 2) / wide, (y - (box[1] + box[3]) / 2) / high
    radius = torch.hypot(across, down)
    slope = torch.hypot(across / wide, down / high)
    # In the very middle the slope is 0; there the distance is that to the nearer end.
    return torch.where(slope > 1e-6, radius * (radius - 1) / slope.clamp_min(1e-6), radius.new_tensor(-min(wide, high)))


def to_hull(points: tuple[Point, ...], x: Tensor, y: Tensor) -> Tensor:
    """Distance to the convex hull of points. Fewer than three corners have no inside."""
    corners = convex_hull(points)
    nearest = torch.full_like(x + y, math.inf)
    inside = torch.full_like(nearest, len(corners) > 2, dtype=torch.bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = bx - ax, by - ay
        length = max(dx * dx + dy * dy, 1e-12)
        along = (((x - ax) * dx + (y - ay) * dy) / length).clamp(0, 1)
        nearest = torch.minimum(nearest, torch.hypot(x - ax - along * dx, y - ay - along * dy))
        inside &= (dx * (y - ay) - dy * (x - ax)) >= 0
    return torch.where(inside, -nearest, nearest)


def to_mask(mask: Tensor) -> Tensor:
    """Distance to the part of a mask ``[h, w]`` that is above a half, on the device of the mask.

    The transform itself is OpenCV's exact one, on the CPU, where masks drawn or loaded in ComfyUI are anyway.
    """
    cv2 = opencv()
    solid = (mask > 0.5).cpu().numpy().astype(np.uint8)
    if not solid.any() or solid.all():
        return torch.full_like(mask, -_FAR if solid.any() else _FAR, dtype=torch.float32)
    outside = cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inward = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Both count from pixel centre to pixel centre; the outline runs half-way between.
    distance = np.where(solid > 0, 0.5 - inward, outside - 0.5).astype(np.float32)
    return torch.from_numpy(distance).to(mask.device)


def edge(distance: Tensor, start: float, width: float) -> Tensor:
    """``[h, w]``: 1 up to ``start`` pixels from a shape, then falling linearly to 0 over ``width`` pixels.

    A width below 1 gives an edge of one pixel: anything narrower would have steps.
    """
    width = max(width, 1.0)
    return torch.rsub(distance, start + width).div_(width).clamp_(0, 1)


def phi(deviations: Tensor) -> Tensor:
    """The cumulative normal distribution, elementwise.

    Of the signed distance to a straight edge, in standard deviations of a Gaussian and positive inside, it is that edge
    blurred by the Gaussian.
    """
    return torch.erf(deviations / math.sqrt(2)).add_(1).div_(2)


def convex_hull(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The corners of the convex hull, in order (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return tuple(ordered)

    def chain(sequence: list[Point]) -> list[Point]:
        corners: list[Point] = []
        for point in sequence:
            while len(corners) > 1 and _cross(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return tuple(chain(ordered) + chain(ordered[::-1]))


def _cross(origin: Point, one: Point, two: Point) -> float:
    return (one[0] - origin[0]) * (two[1] - origin[1]) - (one[1] - origin[1]) * (two[0] - origin[0])
