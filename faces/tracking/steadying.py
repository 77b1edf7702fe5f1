"""A face through the frames of a shot without the trembling of its detector, and where it was not found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..alignment import FFHQ
from ..face import Face, Point, roll_of
from .smoothing import smoothed

# A face as complex numbers, x + iy, around its middle: turned and enlarged by one product.
_points = np.array([complex(*point) for point in FFHQ.points])
_UPRIGHT = (_points - _points.mean()) / np.linalg.norm(_points - _points.mean())

Numbers = tuple[float, ...]


def steadied(seen: Mapping[int, Face], reach: int) -> dict[int, Face]:
    """A face in every frame from the first to the last in which it was seen.

    What is missing is drawn as a straight line between the frames beside it. Then place, size and roll are smoothed,
    each by itself: a face that is carried along quickly grows slowly.

    Args:
        seen: the face by number of the frame, in order.
        reach: as in :func:`.smoothing.smoothed`; 0 keeps what was seen as it is.
    """
    filled = {number: _nearest(seen, number) for number in range(min(seen), max(seen) + 1)}
    boxes = _curves(seen, lambda face: face.box, lambda known: _steady_boxes(known, reach))
    landmarks = _curves(seen, _landmarks, lambda known: _steady_landmarks(known, reach))
    rolls = _curves(seen, _direction, lambda known: smoothed(known, reach))
    return {
        number: face
        if reach == 0 and number in seen
        else _moved(face, boxes[number], landmarks.get(number), rolls.get(number))
        for number, face in filled.items()
    }


def _steady_boxes(boxes: np.ndarray, reach: int) -> np.ndarray:
    """``[T, 4]`` in pixels to the same."""
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    size = float(np.median(sides))
    middles = size * smoothed(middles / size, reach)
    sides = np.exp(smoothed(np.log(sides), reach))
    return np.hstack([middles - sides / 2, middles + sides / 2])


def _steady_landmarks(landmarks: np.ndarray, reach: int) -> np.ndarray:
    """``[T, 10]`` in pixels to the same."""
    points = landmarks[:, 0::2] + 1j * landmarks[:, 1::2]
    middles = points.mean(axis=1, keepdims=True)
    # The similarity that takes the upright face nearest to these points, and what of them it leaves.
    turned = ((points - middles) @ _UPRIGHT.conj())[:, None]
    if not turned.all():
        # They lie on top of one another, and show no face that could be turned.
        return landmarks
    features = (points - middles) / turned - _UPRIGHT
    size = float(np.median(np.abs(turned)))
    middles = size * _smoothed_complex(middles / size, reach)
    scales = smoothed(np.log(np.abs(turned)), reach)
    angles = smoothed(np.unwrap(np.angle(turned), axis=0), reach)
    points = middles + np.exp(scales + 1j * angles) * (_UPRIGHT + _smoothed_complex(features, reach))
    return np.stack([points.real, points.imag], axis=2).reshape(len(points), -1)


def _smoothed_complex(values: np.ndarray, reach: int) -> np.ndarray:
    real = smoothed(np.hstack([values.real, values.imag]), reach)
    half = values.shape[1]
    return real[:, :half] + 1j * real[:, half:]


def _curves(
    seen: Mapping[int, Face], numbers_of: Callable[[Face], Numbers | None], steady: Callable[[np.ndarray], np.ndarray]
) -> dict[int, np.ndarray]:
    """Numbers of a face for each frame that lies between two in which it has them.

    Args:
        steady: smooths them, ``[T, D]`` to the same.
    """
    curves: dict[int, np.ndarray] = {}
    for run in _runs(seen, numbers_of):
        frames = np.arange(min(run), max(run) + 1)
        known = np.array(list(run.values()))
        dense = np.stack([np.interp(frames, list(run), column) for column in known.T], axis=1)
        curves |= dict(zip(frames.tolist(), steady(dense), strict=True))
    return curves


def _runs(seen: Mapping[int, Face], numbers_of: Callable[[Face], Numbers | None]) -> Iterator[dict[int, Numbers]]:
    """Stretches in which every sight of the face has these numbers."""
    run: dict[int, Numbers] = {}
    for number, face in seen.items():
        numbers = numbers_of(face)
        if numbers is not None:
            run[number] = numbers
        elif run:
            yield run
            run = {}
    if run:
        yield run


def _landmarks(face: Face) -> Numbers | None:
    return None if face.landmarks is None else tuple(value for point in face.landmarks for value in point)


def _direction(face: Face) -> Numbers | None:
    """The roll of a face that has nothing else to tell it, as a place on the unit circle: angles have no mean."""
    if face.roll is None or face.landmarks is not None:
        return None
    return math.cos(math.radians(face.roll)), math.sin(math.radians(face.roll))


def _nearest(seen: Mapping[int, Face], number: int) -> Face:
    """What was seen of a face in a frame, or in the nearest one; then with the lower of the scores on either side."""
    if number in seen:
        return seen[number]
    before = max(other for other in seen if other < number)
    after = min(other for other in seen if other > number)
    nearest = seen[before if number - before <= after - number else after]
    return replace(nearest, score=min(seen[before].score, seen[after].score))


def _moved(face: Face, box: np.ndarray, landmarks: np.ndarray | None, direction: np.ndarray | None) -> Face:
    """The face in another place: its outline goes with the box."""
    left, top, right, bottom = box.tolist()
    points, roll = None, face.roll
    if landmarks is not None:
        one, two, three, four, five = ((x, y) for x, y in landmarks.reshape(5, 2).tolist())
        points = (one, two, three, four, five)
        roll = None if roll is None else roll_of(points)
    elif direction is not None:
        roll = math.degrees(math.atan2(direction[1], direction[0]))

    def along(point: Point) -> Point:
        x, y = (point[0] - face.box[0]) / face.width, (point[1] - face.box[1]) / face.height
        return left + x * (right - left), top + y * (bottom - top)

    outline = None if face.outline is None else tuple(map(along, face.outline))
    return replace(face, box=(left, top, right, bottom), landmarks=points, roll=roll, outline=outline)
