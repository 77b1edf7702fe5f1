"""What five landmarks tell about how a head is turned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .face import Face, Point, roll_of

# How far the tip of the nose stands out from the plane of the eyes and the mouth corners, in distances of the pupils.
# The generic head of OpenCV's examples of head pose has 130 to 450 for the outer corners of the eyes, which lie 90 mm
# apart where the pupils lie 63 mm apart (means of adults, Farkas, Anthropometry of the Head and Face, 1994).
_NOSE = 130 / 450 * 90 / 63

# How far down from the eyes to the mouth corners the tip of the nose of a level head is, and how long that way is in
# distances of the pupils: medians over 49 faces of 512 pixels that look into the camera. YOLOv8 and YuNet agree on both
# (0.599 and 0.603; 1.00 and 1.01).
_NOSE_PLACE, _EYES_TO_MOUTH = 0.6, 1.0


def yaw_of(landmarks: Sequence[Point]) -> float:
    """About how far a head is turned to the side, in degrees: -90 is to the left of the upright face as seen, 90 right.

    The tip of the nose leaves the line from between the eyes to between the mouth corners by ``depth * sin(yaw)``,
    while the eyes come together as ``cos(yaw)``, whatever the roll and, seen from afar, the pitch.

    The depth is that of an average nose. Noses differ by a fifth of it: by 5 degrees at 30. A camera close by adds a
    little more, and beyond 60 degrees detectors guess where the far eye is.
    """
    (ax, ay), (bx, by), (nx, ny), (cx, cy), (dx, dy) = landmarks
    middle = ((ax + bx) / 2, (ay + by) / 2)
    down = ((cx + dx) / 2 - middle[0], (cy + dy) / 2 - middle[1])

    def across(x: float, y: float) -> float:
        """How far a vector goes to the right of the face, in units that are all the same."""
        return x * down[1] - y * down[0]

    # The eyes of a profile may have changed places; a head turned by more than 90 degrees shows no face.
    apart = max(across(bx - ax, by - ay), 0.0)
    return math.degrees(math.atan2(across(nx - middle[0], ny - middle[1]), _NOSE * apart))


def pitch_of(landmarks: Sequence[Point]) -> float | None:
    """About how far a head is bent back (above 0) or forward (below), in degrees; ``None`` where eyes and mouth meet.

    While the way from the eyes to the mouth shrinks as ``cos(pitch)``, the tip of the nose is shifted along it by
    ``depth * sin(pitch)``. Of the way it has gone ``place - depth * tan(pitch)``.

    Where the nose of a level head is differs from face to face by more than the depth does: half of 43 faces with yaws
    up to 35 degrees were more than 8 degrees off what OpenCV's ``solvePnP`` finds from their 68 landmarks.
    """
    (ax, ay), (bx, by), (nx, ny), (cx, cy), (dx, dy) = landmarks
    x, y = (ax + bx) / 2, (ay + by) / 2
    down = ((cx + dx) / 2 - x, (cy + dy) / 2 - y)
    length = down[0] ** 2 + down[1] ** 2
    if length == 0:
        return None
    place = ((nx - x) * down[0] + (ny - y) * down[1]) / length
    return math.degrees(math.atan((_NOSE_PLACE - place) * _EYES_TO_MOUTH / _NOSE))


def eye_distance(landmarks: Sequence[Point]) -> float:
    """Pixels between the eyes."""
    return math.dist(landmarks[0], landmarks[1])


def roll_of_face(face: Face) -> float | None:
    """Roll in degrees, clockwise as seen, by the landmarks, else as the detector says; ``None`` where nothing tells."""
    return face.roll if face.landmarks is None else roll_of(face.landmarks)
