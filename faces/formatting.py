"""Faces for readers: as words for people, as plain data for programs."""

from __future__ import annotations

from .face import Face


def in_words(face: Face) -> str:
    """Its number, counted from 1, its size and where it is: ``face 2 (140 px at 310, 205)``."""
    across, down = face.centre
    return f"face {face.index + 1} ({face.size:.0f} px at {across:.0f}, {down:.0f})"


def counted(number: int) -> str:
    """A number of faces: ``1 face``, ``3 faces``."""
    return "1 face" if number == 1 else f"{number} faces"


def as_data(face: Face) -> dict[str, object]:
    """Plain data that JSON takes: pixels with two decimals, scores with four, the roll in degrees with one."""
    return {
        "box": [round(value, 2) for value in face.box],
        "score": round(face.score, 4),
        "label": face.label,
        "landmarks": None if face.landmarks is None else [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
        "roll": None if face.roll is None else round(face.roll, 1),
    }
