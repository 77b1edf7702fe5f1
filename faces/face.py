"""A face as plain numbers, and the faces of a batch of frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom; places in pixels, of which the first has its centre at 0."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels: the first column and row, and those after the last."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face in the pixel coordinates of its frame.

    Attributes:
        box: left, top, right, bottom in pixels. May reach beyond the frame.
        score: confidence of the detector, 0..1.
        label: class name given by the detector.
        landmarks: five points or ``None``: the eye, then the other eye, the nose tip and the two mouth corners, in
            the order in which an upright face shows them from left to right.
        roll: rotation of the face in the image plane in degrees, clockwise as seen; 0 is upright. ``None`` where
            nothing tells.
        outline: polygon around the face from a segmentation network, or ``None``.
        index: place among the faces of the frame: in reading order, unless they were put in another. Tracking
            sets it to :attr:`track`.
        track: number, from 0, of the one whose face it is in all frames of a video; ``None`` where it was not followed.
    """

    box: Box
    score: float = 1.0
    label: str = "face"
    landmarks: tuple[Point, Point, Point, Point, Point] | None = None
    roll: float | None = None
    outline: tuple[Point, ...] | None = None
    index: int = 0
    track: int | None = None

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def size(self) -> float:
        """The longer side of the box in pixels: what "a face of 32 px" means in settings and reports."""
        return max(self.width, self.height)

    @property
    def centre(self) -> Point:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class Faces:
    """What travels on a FACES socket: the faces of each frame of a batch and the frame size.

    The faces are in reading order, unless they were put in another one.
    """

    width: int
    height: int
    frames: tuple[tuple[Face, ...], ...]

    @property
    def count(self) -> int:
        return sum(len(faces) for faces in self.frames)

    @property
    def placed(self) -> list[tuple[int, Face]]:
        """Every face with the number of its frame, frame by frame."""
        return [(frame, face) for frame, faces in enumerate(self.frames) for face in faces]

    def with_frames(self, frames: Iterable[Iterable[Face]]) -> Faces:
        """The same frame size with other faces."""
        return Faces(self.width, self.height, tuple(tuple(faces) for faces in frames))


def resized(face: Face, scale: float) -> Face:
    """The same face in its frame resized by ``scale``."""

    def moved(point: Point) -> Point:
        return (point[0] + 0.5) * scale - 0.5, (point[1] + 0.5) * scale - 0.5

    landmarks = face.landmarks
    if landmarks is not None:
        one, two, three, four, five = map(moved, landmarks)
        landmarks = (one, two, three, four, five)
    return replace(
        face,
        box=(*moved(face.box[:2]), *moved(face.box[2:])),
        landmarks=landmarks,
        outline=None if face.outline is None else tuple(map(moved, face.outline)),
    )


def intersection_over_union(one: Box, other: Box) -> float:
    """How much two boxes have in common of what they cover together, 0..1."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0


def roll_of(landmarks: Sequence[Point]) -> float:
    """Roll in degrees, clockwise as seen, of a face from its five landmarks.

    The line between the eyes and the line between the mouth corners are added as vectors, so that one bad point
    turns the result less than it turns the line of the eyes alone.
    """
    (ax, ay), (bx, by), _, (cx, cy), (dx, dy) = landmarks
    return math.degrees(math.atan2((by - ay) + (dy - cy), (bx - ax) + (dx - cx)))


def in_reading_order(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Sorts faces as one reads a page and numbers them: see :func:`reading_order`."""
    return numbered(reading_order(faces))


def numbered(faces: Iterable[Face]) -> tuple[Face, ...]:
    """The faces in their order, with their places in it as ``index``."""
    return tuple(replace(face, index=index) for index, face in enumerate(faces))


def reading_order(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Sorts faces as one reads a page: rows from top to bottom, and from left to right in them.

    A row begins with the topmost face left (by the centre of its box) and takes every face whose centre lies above
    the bottom of that first face. Ties are broken by position, so the order does not depend on the detector's.
    """
    waiting = sorted(faces, key=by_position)
    ordered: list[Face] = []
    while waiting:
        bottom = waiting[0].box[3]
        row = [face for face in waiting if face.centre[1] < bottom or face is waiting[0]]
        waiting = waiting[len(row) :]
        # Stable: from top to bottom where two have the same place across.
        ordered += sorted(row, key=lambda face: face.centre[0])
    return tuple(ordered)


def by_position(face: Face) -> tuple[float, float, Box, float, str]:
    """What ties are broken by: from top to bottom, then from left to right, then what else tells two faces apart."""
    return face.centre[1], face.centre[0], face.box, -face.score, face.label
