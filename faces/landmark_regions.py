"""Regions of a face that five landmarks tell, where there is no parser: the oval of the face, the eyes, the mouth.

They are shapes in an aligned crop, as distances (see :mod:`.distance`), so that they can be drawn at any size.
Their sizes were measured on the 43 faces with 68 landmarks in the dlib photographs, aligned by the five that detectors
give, and are shares of the side of an FFHQ crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from .alignment import FFHQ, are_of_a_face
from .crops import Crops
from .distance import to_ellipse
from .face import Point
from .geometry import apply

LandmarkRegion = Literal["face oval", "eye area", "mouth area"]
"""From the hairline to the chin and from ear to ear; each eye with its lids; the lips and what is between them."""

# The chin is measured; the hairline is as far above the brows as these are above the nose, and that above the chin.
_HAIRLINE, _CHIN, _OVAL_WIDTH = 0.117, 0.93, 0.288
# The tip of the nose turns with the head, and what is seen of the cheeks goes the other way, this many times as far.
# Without it the line of the jaw is 61 px of 512 off in one point out of ten, with it 21 px (median 17 and 8 px).
_TURN = 1.44
# Half the width and height of an eye's outline, lids included: in 95 % of the faces it is within 0.057 and 0.024.
_EYE_WIDTH, _EYE_HEIGHT = 0.068, 0.042
# The lips reach 0.05 above and 0.1 below the line between the corners of the mouth in 95 % of the faces.
_MOUTH_BEYOND, _MOUTH_BELOW, _MOUTH_HEIGHT = 0.02, 0.024, 0.082


def landmarks_in(crops: Crops) -> Tensor:
    """``[N, 5, 2]`` float64: landmarks of FFHQ crops in crop pixels.

    A face without landmarks, or with some that are not those of a face, has those of the template: where the crop that
    was made of its box shows them in the mean.
    """
    usual = (torch.tensor(FFHQ.points, dtype=torch.float64) + 0.5) * (crops.size / FFHQ.size) - 0.5
    points = usual.expand(len(crops), -1, -1).clone()
    for index, face in enumerate(crops.faces):
        if face.landmarks is not None and are_of_a_face(face.landmarks):
            points[index] = apply(crops.matrices[index], torch.tensor(face.landmarks, dtype=torch.float64))
    return points


def to_landmark_regions(
    points: Sequence[Point], size: int, regions: Sequence[LandmarkRegion], x: Tensor, y: Tensor
) -> Tensor:
    """Distance to the nearest of some regions, in crop pixels; negative inside.

    Args:
        points: the five landmarks in pixels of an FFHQ crop of ``size`` pixels.
        regions: at least one.
        x, y: ``[h, w]``, or what expands to it: where to measure, in crop pixels.
    """
    return reduce(torch.minimum, (_DISTANCES[region](points, size, x, y) for region in regions))


def _to_face_oval(points: Sequence[Point], size: int, x: Tensor, y: Tensor) -> Tensor:
    nose = FFHQ.points[2][0] / FFHQ.size * size
    middle = size / 2 - 0.5 - _TURN * (points[2][0] - nose)
    half = _OVAL_WIDTH * size
    return to_ellipse((middle - half, _HAIRLINE * size, middle + half, _CHIN * size), x, y)


def _to_eye_area(points: Sequence[Point], size: int, x: Tensor, y: Tensor) -> Tensor:
    one, other = (_to_turned_ellipse(eye, (_EYE_WIDTH * size, _EYE_HEIGHT * size), 0.0, x, y) for eye in points[:2])
    return torch.minimum(one, other)


def _to_mouth_area(points: Sequence[Point], size: int, x: Tensor, y: Tensor) -> Tensor:
    (ax, ay), (bx, by) = points[3:]
    angle = math.atan2(by - ay, bx - ax)
    below = _MOUTH_BELOW * size
    middle = (ax + bx) / 2 - below * math.sin(angle), (ay + by) / 2 + below * math.cos(angle)
    half = math.hypot(bx - ax, by - ay) / 2 + _MOUTH_BEYOND * size
    return _to_turned_ellipse(middle, (half, _MOUTH_HEIGHT * size), angle, x, y)


def _to_turned_ellipse(middle: Point, half: tuple[float, float], angle: float, x: Tensor, y: Tensor) -> Tensor:
    """Distance to an ellipse of half the width and height given, turned clockwise as seen by radians."""
    x, y = x - middle[0], y - middle[1]
    cos, sin = math.cos(angle), math.sin(angle)
    along, across = x * cos + y * sin, y * cos - x * sin
    return to_ellipse((-half[0], -half[1], half[0], half[1]), along, across)


_DISTANCES = {"face oval": _to_face_oval, "eye area": _to_eye_area, "mouth area": _to_mouth_area}
