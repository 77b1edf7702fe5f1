"""FACE_LANDMARKS of ComfyUI's MediaPipe nodes: 478 points for each face, in the topology of MediaPipe's face mesh.

Their node samples pictures with whole numbers at the centres of pixels, as Visage does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...faces.face import Face, Point, roll_of
from .scores import score_of

# Corners and lids of the eye on the left of an upright face as seen and of the other one, from FACEMESH_RIGHT_EYE and
# FACEMESH_LEFT_EYE of MediaPipe (its sides are those of the person). The irises, 468 and 473, would follow the gaze,
# and the alignment with them.
_EYES = ((33, 133, 159, 145), (362, 263, 386, 374))
# The foremost point of MediaPipe's canonical face. Its neighbour 1, below it, is a twelfth of the distance of the eyes
# lower than the tip that other detectors and dlib's photographs give; this one is a fiftieth higher.
_NOSE_TIP = 4
_MOUTH_CORNERS = (61, 291)
_OVAL = "face_oval"


def faces_of_landmarks(landmarks: Mapping[str, Any], width: int, height: int, count: int) -> list[list[Face]]:
    """The faces of FACE_LANDMARKS, with five landmarks and the oval of the face as outline.

    Raises:
        ValueError: it was made from images of another size or another number, or its numbers are not finite.
    """
    tall, wide = landmarks["image_size"]
    frames = landmarks["frames"]
    if (wide, tall, len(frames)) != (width, height, count):
        raise ValueError(
            f"The landmarks were found in {len(frames)} image(s) of {wide} x {tall} pixels, but the image is "
            f"{count} of {width} x {height}. Connect the image they were found in."
        )
    ring = _ring(landmarks["connection_sets"].get(_OVAL, ()))
    return [[_face(found, ring) for found in frame] for frame in frames]


def _face(found: Mapping[str, Any], ring: list[int]) -> Face:
    points: list[Point] = [(float(x), float(y)) for x, y in found["landmarks_xy"]]

    def middle(corners: tuple[int, ...]) -> Point:
        return sum(points[at][0] for at in corners) / len(corners), sum(points[at][1] for at in corners) / len(corners)

    one, two = map(middle, _EYES)
    four, five = (points[at] for at in _MOUTH_CORNERS)
    five_points = (one, two, points[_NOSE_TIP], four, five)
    left, top, right, bottom = (float(value) for value in found["bbox_xyxy"])
    if not all(map(math.isfinite, (left, top, right, bottom, *itertools.chain(*points)))):
        raise ValueError("A face of the landmarks holds values that are no numbers. Check the node that made them.")
    return Face(
        (left, top, right, bottom),
        score=score_of(found["score"]),
        landmarks=five_points,
        roll=roll_of(five_points),
        outline=tuple(points[at] for at in ring) or None,
    )


def _ring(edges: Iterable[tuple[int, int]]) -> list[int]:
    """The points of a closed line in their order, from its edges in any order."""
    neighbours: dict[int, list[int]] = {}
    for one, other in sorted(edges):
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    ring: list[int] = []
    following = min(neighbours, default=None)
    while following is not None:
        ring.append(following)
        following = next((each for each in neighbours[following] if each not in ring), None)
    return ring
