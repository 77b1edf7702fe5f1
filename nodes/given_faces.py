"""From FACES sockets to faces. What another node made by hand is looked at here, once, and not by those who use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from reprlib import repr as shortened
from typing import Any

from ..faces.face import Face, Faces

_CHECK = "Check the node that made them."


def faces_of(given: object) -> Faces:
    """What comes from a FACES socket: the very object.

    Raises:
        ValueError: it holds something else than faces, or one that cannot be worked on. Says which and why.
    """
    if not isinstance(given, Faces):
        raise ValueError(
            f"Expected faces, got {shortened(given)}. Connect Detect Faces, or Faces from Boxes, Landmarks, SEGS, Mask."
        )
    if not all(isinstance(side, int) and side > 0 for side in (given.width, given.height)):
        raise ValueError(
            f"The faces were found in images of {shortened(given.width)} x {shortened(given.height)} pixels, which is "
            f"no size: both must be whole numbers above 0. {_CHECK}"
        )
    if not (_are_faces(given.frames) and given.frames):
        raise ValueError(
            f"Faces must be a tuple of them for each image, in a tuple, not {shortened(given.frames)}. {_CHECK}"
        )
    for number, face in given.placed:
        _check(face, number)
    return given


def _are_faces(frames: object) -> bool:
    return isinstance(frames, tuple) and all(
        isinstance(found, tuple) and all(isinstance(face, Face) for face in found) for found in frames
    )


def _check(face: Face, frame: int) -> None:
    for name, (fits, wanted) in _WANTED.items():
        value = getattr(face, name)
        if not fits(value):
            which = f"face {face.index + 1}" if _is_index(face.index) else "a face"
            raise ValueError(
                f"The {name} of {which} of image {frame + 1} must be {wanted}, not {shortened(value)}. {_CHECK}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _are_numbers(values: object, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(map(_is_number, values))


def _are_points(points: object) -> bool:
    return isinstance(points, tuple) and all(_are_numbers(point, 2) for point in points)


def _is_box(box: Any) -> bool:
    return _are_numbers(box, 4) and bool(box[0] < box[2] and box[1] < box[3])


def _is_index(index: object) -> bool:
    return isinstance(index, int) and index >= 0


# What is asked of each attribute of a face, and how that is told. Numbers of NumPy or of PyTorch go a long way, but not
# into JSON nor onto pictures.
_WANTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "box": (_is_box, "left, top, right, bottom as finite numbers in a tuple, left < right, top < bottom"),
    "score": (_is_number, "a finite number"),
    "label": (lambda label: isinstance(label, str), "a text"),
    "landmarks": (
        lambda points: points is None or (_are_points(points) and len(points) == 5),
        "five points (x, y) of finite numbers in a tuple, or None",
    ),
    "roll": (lambda roll: roll is None or _is_number(roll), "a finite number, or None"),
    "outline": (
        lambda points: points is None or _are_points(points),
        "points (x, y) of finite numbers in a tuple, or None",
    ),
    "index": (_is_index, "a whole number from 0 on"),
    "track": (lambda track: track is None or _is_index(track), "a whole number from 0 on, or None"),
}
