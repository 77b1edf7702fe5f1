"""Which pixels of a window are repainted, and which are put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from ..faces.alignment import are_of_a_face
from ..faces.distance import edge, to_box, to_ellipse, to_hull, to_mask
from ..faces.face import Box, Face, PixelBox, Point
from ..faces.geometry import apply
from ..faces.masks import polygon
from ..faces.windows import Window, extract_window_mask, part_of, upright_sides
from .refine_settings import EdgeSettings

# The hull of the five landmarks grows by this share of the face's size, to take in brows, cheeks and jaw.
_HULL_GROW = 0.19
# A connected mask counts for a face up to this share of its size beyond its box: hair and beard do, neighbours do not.
_MASK_REACH = 0.5
# Pixels of 0 around what is put back.
_MARGIN = 2


@dataclass(frozen=True, eq=False)
class Edges:
    """The two masks of a window.

    Attributes:
        noise: ``[h, w]`` 0..1, where the model may paint.
        box: left, top, right, bottom of the part of the window in which anything is put back.
        result: what is put back of that part, ``[bottom - top, right - left]`` 0..1. Where it is above 0, ``noise``
            is 1.
    """

    noise: Tensor
    box: PixelBox
    result: Tensor


def edges_of(
    faces: Sequence[Face], window: Window, settings: EdgeSettings, region: Tensor | None, device: torch.device
) -> Edges | None:
    """Masks for the faces that a window was made for; several where they are merged.

    Args:
        region: ``[H, W]`` 0..1 in frame pixels, what a shape of "mask" is cut from. That nothing outside of it changes
            is for :func:`~..faces.window_paste.settle` to see to, in pixels of the frame.
        device: of the masks, and of ``region``.

    Returns:
        The masks, or ``None`` where nothing would be put back within the region.

    Raises:
        ValueError: the shape is "mask" and there is none.
    """
    x = torch.arange(window.width, dtype=torch.float32, device=device)[None, :]
    y = torch.arange(window.height, dtype=torch.float32, device=device)[:, None]
    shape = reduce(torch.minimum, (_shape(face, window, settings, region, x, y) for face in faces))
    shape -= settings.dilation
    feather = max(settings.feather, 1)
    if settings.inverts:
        # The edge fades outward from a face and must not fade into one.
        shape = feather - shape
    shown = _shown(window, feather)
    box = _box_around(shape < feather, (shown[0] - feather, shown[1] - feather, shown[2] + feather, shown[3] + feather))
    if box is None:
        return None
    left, top, right, bottom = box
    # Sides of the window within the frame must not show, whatever the shape.
    limits = to_box(shown, x[:, left:right], y[top:bottom])
    result = edge(torch.maximum(shape[top:bottom, left:right], limits), 0, feather)
    if region is not None and not bool((result * extract_window_mask(region, part_of(window, box))).any()):
        return None
    # A pixel further than the other ends, so that rounding leaves no pixel that was repainted in part.
    return Edges(edge(shape, feather + 1, settings.noise_feather), box, result)


def _box_around(inside: Tensor, limits: Box) -> PixelBox | None:
    """Left, top, right, bottom of the pixels that are set, no further than ``limits``, and of a margin around them.

    The margin is for those who read a mask between its pixels: beyond its last row it goes on as it ends, with 0.
    """
    height, width = inside.shape
    rows, columns = inside.any(dim=1).nonzero().flatten().tolist(), inside.any(dim=0).nonzero().flatten().tolist()
    if not rows:
        return None
    left, top = max(columns[0], math.floor(limits[0])), max(rows[0], math.floor(limits[1]))
    right, bottom = min(columns[-1], math.ceil(limits[2])) + 1, min(rows[-1], math.ceil(limits[3])) + 1
    if right <= left or bottom <= top:
        return None
    return max(left - _MARGIN, 0), max(top - _MARGIN, 0), min(right + _MARGIN, width), min(bottom + _MARGIN, height)


def _shape(face: Face, window: Window, settings: EdgeSettings, region: Tensor | None, x: Tensor, y: Tensor) -> Tensor:
    # Instead of moving the shape to the right and up, the pixels are asked as if they lay to the left and below.
    x, y = x - settings.x_offset, y + settings.y_offset
    box = _box(face, window)
    size = face.size * window.scale
    if settings.shape == "mask":
        if region is None:
            raise ValueError('The shape "mask" needs a mask: connect one, or choose another shape.')
        moved = window.matrix.clone()
        moved[:, 2] += torch.tensor([settings.x_offset, -settings.y_offset], dtype=torch.float64)
        seen = extract_window_mask(region, replace(window, matrix=moved))
        return torch.maximum(to_mask(seen), to_box(box, x, y) - _MASK_REACH * size)
    if settings.shape == "box":
        return to_box(box, x, y)
    if settings.shape == "hull" and face.landmarks is not None and are_of_a_face(face.landmarks):
        return to_hull(_seen_points(face.landmarks, window), x, y) - _HULL_GROW * size
    if settings.shape == "outline" and face.outline is not None:
        points = tuple(
            (px + settings.x_offset, py - settings.y_offset) for px, py in _seen_points(face.outline, window)
        )
        return to_mask(polygon(points, window.height, window.width).to(x.device))
    return to_ellipse(box, x, y)


def _box(face: Face, window: Window) -> Box:
    """The face's box in crop pixels. A turned window shows the face upright, in a box of its own proportions."""
    if window.roll == 0:
        (left, top), (right, bottom) = _seen_points((face.box[:2], face.box[2:]), window)
        return left, top, right, bottom
    ((x, y),) = _seen_points((face.centre,), window)
    wide, high = (side * window.scale / 2 for side in upright_sides(face.box))
    return x - wide, y - high, x + wide, y + high


def _shown(window: Window, feather: int) -> Box:
    """The part of a window that an edge may begin in, so that it ends before a side that lies within the frame."""
    inset = feather + 1.0
    far = 4 * (window.width + window.height)
    left, top, right, bottom = inset, inset, window.width - 1 - inset, window.height - 1 - inset
    if window.roll == 0:
        ends = ((-0.5, -0.5), (window.frame_width - 0.5, window.frame_height - 0.5))
        (frame_left, frame_top), (frame_right, frame_bottom) = _seen_points(ends, window)
        left, top = -far if frame_left > -1 else left, -far if frame_top > -1 else top
        right = far if frame_right < window.width else right
        bottom = far if frame_bottom < window.height else bottom
    return left, top, right, bottom


def _seen_points(points: Sequence[Point], window: Window) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in apply(window.matrix, torch.tensor(points, dtype=torch.float64)).tolist())
