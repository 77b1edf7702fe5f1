"""Faces as masks, and the parts of masks as faces."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...faces.face import Face, Faces, Point
from ...faces.masks import polygon
from ...opencv import opencv

# Corners of an outline closer than this to the line between their neighbours are left out, in pixels. Small parts keep
# what is one pixel thin. In large ones it takes in the stairs of slanted edges, so that a circle has dozens of corners
# and not hundreds, which would take their time to fill. Where that loses what is thin, the contour stays nearer to the
# outermost pixels than its own quarter of a pixel, so that it loses none.
_TOLERANCE, _TOLERANCE_OF_LARGE, _TOLERANCE_OF_THIN = 0.25, 0.625, 0.2
_LARGE = 64


def mask_of(faces: Faces) -> Tensor:
    """``[B, H, W]``: 1 where a face is, by its outline where it has one and by its box elsewhere."""
    painted = torch.zeros(len(faces.frames), faces.height, faces.width)
    for number, face in faces.placed:
        paint(painted[number], face)
    return painted


def paint(frame: Tensor, face: Face, left: int = 0, top: int = 0) -> None:
    """Sets ``[H, W]`` to 1 where a face is; its first pixel is that at ``left``, ``top`` of the frame of the face."""
    height, width = frame.shape
    outline = tuple((x - left, y - top) for x, y in face.outline or _corners(face))
    across, down = [x for x, _ in outline], [y for _, y in outline]
    first, last = max(math.ceil(min(across)), 0), min(math.floor(max(across)) + 1, width)
    upper, lower = max(math.ceil(min(down)), 0), min(math.floor(max(down)) + 1, height)
    if last <= first or lower <= upper:
        return
    window = frame[upper:lower, first:last]
    if face.outline is None:
        window.fill_(1)
    else:
        shifted = tuple((x - first, y - upper) for x, y in outline)
        window.copy_(torch.maximum(window, polygon(shifted, lower - upper, last - first)))


def faces_of_mask(mask: Tensor, width: int, height: int, count: int, min_size: int) -> list[list[Face]]:
    """The connected parts of a mask as faces with an outline, for each of ``count`` frames.

    Args:
        mask: ``[B or 1, H, W]`` 0..1; a pixel belongs to a part from 0.5 on. Parts that touch at a corner are one.
        min_size: parts whose longer side is smaller than this many pixels are left out.

    Raises:
        ValueError: the mask is of another size or another number of frames.
    """
    frames, tall, wide = mask.shape
    if (wide, tall) != (width, height) or frames not in (1, count):
        raise ValueError(
            f"Expected a mask of the size of the image, {width} x {height} pixels, for each of {count} image(s) or one "
            f"for all. Got {frames} of {wide} x {tall}."
        )
    parts = [[face for face in parts_of(solid(each.cpu().numpy())) if face.size >= min_size] for each in mask.float()]
    return parts * count if frames == 1 else parts


def solid(mask: np.ndarray) -> np.ndarray:
    """Which pixels of a mask 0..1 belong to a part, as bool: grey ones from a half on."""
    return mask >= 0.5


def parts_of(inside: np.ndarray) -> list[Face]:
    """The connected parts of ``[H, W]`` bool as faces with boxes around their pixels.

    A part has an outline, within a pixel of its edge and around any holes, unless it fills its box.
    """
    cv2 = opencv()
    count, names, statistics, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    faces = []
    for name in range(1, count):
        left, top, width, height, area = (int(value) for value in statistics[name])
        part = names[top : top + height, left : left + width] == name
        outline = None if area == width * height else _outline(part, left, top)
        faces.append(Face((left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5), outline=outline))
    return faces


def _outline(part: np.ndarray, left: int, top: int) -> tuple[Point, ...]:
    cv2 = opencv()
    # Contours go through the centres of the outermost pixels. At twice the size they go a quarter of a pixel outside of
    # them, which takes those pixels in, and lines of one pixel have an area.
    double = part.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    (contour, *_), _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # Means of three neighbours take most of the stairs away.
    smooth = (np.roll(contour, 1, 0) + contour + np.roll(contour, -1, 0)).astype(np.float32) / 3
    tolerance = _TOLERANCE if max(part.shape) < _LARGE else _TOLERANCE_OF_LARGE
    corners = _few_corners(smooth, tolerance)
    # A thin line would become one without an area, and the thin tip of a part would go, for more than a pixel.
    if len(corners) < 3 or not _within_a_pixel(corners, cv2.fillPoly(double, [contour], 1)[::2, ::2]):
        corners = _few_corners(contour, _TOLERANCE_OF_THIN)
    return tuple((x + left, y + top) for x, y in corners)


def _few_corners(contour: np.ndarray, tolerance: float) -> tuple[Point, ...]:
    """Corners in pixels of the part, of a contour ``[N, 1, 2]`` at twice its size."""
    cv2 = opencv()
    corners = cv2.approxPolyDP(contour, 2 * tolerance, closed=True)[:, 0]
    return tuple(((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5) for x, y in corners.tolist())


def _within_a_pixel(corners: tuple[Point, ...], part: np.ndarray) -> bool:
    """Whether what the corners enclose and ``[H, W]`` 0 or 1 each lie within the other grown by a pixel."""
    cv2 = opencv()
    grow = np.ones((3, 3), np.uint8)
    enclosed = polygon(corners, *part.shape).byte().numpy()
    return bool((enclosed <= cv2.dilate(part, grow)).all() and (part <= cv2.dilate(enclosed, grow)).all())


def _corners(face: Face) -> tuple[Point, ...]:
    left, top, right, bottom = face.box
    return (left, top), (right, top), (right, bottom), (left, bottom)
