"""What five landmarks tell about how a head is turned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .face import Face, Point, roll_of

# How far the tip of the nose stands out from the plane of the eyes and the mouth corners, in distances of the pupils.
# The generic head of OpenCV's examples of head pose has 130 to 450 for the outer corners of the eyes, which lie 90 mm
# apart where the pupils lie 63 mm apart (means of adults, Farkas, Anthropometry of the Head and Face, 1994).
_NOSE = 130 / 450 * 90 / 63


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


def eye_distance(landmarks: Sequence[Point]) -> float:
    """Pixels between the eyes."""
    return math.dist(landmarks[0], landmarks[1])


def roll_of_face(face: Face) -> float | None:
    """Roll in degrees, clockwise as seen, by the landmarks, else as the detector says; ``None`` where nothing tells."""
    return face.roll if face.landmarks is None else roll_of(face.landmarks)
