"""ComfyUI's BOUNDING_BOX: ``x, y, width, height`` in pixels with 0 at the outer edge of the first pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...faces.face import Face, Faces, Point
from .scores import score_of

Boxes = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]


def boxes_of(faces: Faces) -> list[list[dict[str, Any]]]:
    """For each frame a list of boxes, the surest first.

    Beside ``x, y, width, height, label, score``, for those who look: ``landmarks``, ``angle`` (degrees, clockwise) and
    ``index`` (the number of the face).
    """
    return [[_box(face) for face in sorted(frame, key=lambda face: -face.score)] for frame in faces.frames]


def faces_of_boxes(boxes: Boxes, count: int) -> list[list[Face]]:
    """The faces that boxes stand for, for each of ``count`` frames.

    Args:
        boxes: one box, a list of boxes (both are for every frame), or for each frame a list of boxes; where there is
            one such list, it is for every frame. Boxes without an area are left out. ``landmarks`` and ``angle`` are
            taken where they are as :func:`boxes_of` gives them: others may mean other things by the words. ``score``
            is read by :func:`score_of`.

    Raises:
        ValueError: they are of another form, for another number of frames, or their numbers are not finite.
    """
    frames = _by_frame(boxes)
    if len(frames) == 1:
        frames = frames * count
    if len(frames) != count:
        raise ValueError(
            f"The bounding boxes are for {len(frames)} images, but there are {count}. Connect the images they were "
            "made for."
        )
    faces = [[_face(box) for box in frame] for frame in frames]
    return [[face for face in frame if face.width > 0 and face.height > 0] for frame in faces]


def _by_frame(boxes: Boxes) -> list[Sequence[Mapping[str, Any]]]:
    if isinstance(boxes, Mapping):
        return [[boxes]]
    if not boxes:
        return [[]]
    if isinstance(boxes[0], Mapping):
        return [boxes]  # type: ignore[list-item]
    return list(boxes)  # type: ignore[arg-type]


def _face(box: Mapping[str, Any]) -> Face:
    try:
        left, top, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"A bounding box needs x, y, width and height as numbers, but is {box!r}.") from error
    if not all(map(math.isfinite, (left, top, width, height))):
        raise ValueError(f"A bounding box holds values that are no numbers: {box!r}. Check the node that made it.")
    return Face(
        (left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5),
        score=score_of(box.get("score")),
        label=str(box.get("label") or "face"),
        landmarks=_landmarks(box.get("landmarks")),
        roll=_angle(box.get("angle")),
    )


def _angle(value: Any) -> float | None:
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        return None
    return degrees if math.isfinite(degrees) else None


def _landmarks(points: Any) -> tuple[Point, Point, Point, Point, Point] | None:
    try:
        one, two, three, four, five = ((float(x) - 0.5, float(y) - 0.5) for x, y in points)
    except (TypeError, ValueError):
        return None
    marks = one, two, three, four, five
    return marks if all(math.isfinite(value) for mark in marks for value in mark) else None


def _box(face: Face) -> dict[str, Any]:
    left, top, _, _ = face.box
    landmarks = None if face.landmarks is None else [(x + 0.5, y + 0.5) for x, y in face.landmarks]
    return {
        "x": left + 0.5,
        "y": top + 0.5,
        "width": face.width,
        "height": face.height,
        "label": face.label,
        "score": face.score,
        "landmarks": landmarks,
        "angle": face.roll,
        "index": face.index,
    }
