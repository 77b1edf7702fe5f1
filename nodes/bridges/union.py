"""Faces from several sources, each once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...faces.face import Face, in_reading_order, intersection_over_union

# Boxes that share more than this of what they cover together are of one face: what detectors suppress doubles by.
_SAME = 0.5


def united(sources: Iterable[Sequence[Sequence[Face]]]) -> tuple[tuple[Face, ...], ...]:
    """The faces of each frame from several sources, in reading order.

    A face that several of them show is one. It is as the first of them says, with the landmarks, the roll and the
    outline of later ones where it has none itself.

    Args:
        sources: for each source the faces of each frame.
    """
    return tuple(in_reading_order(_merged(frames)) for frames in zip(*sources, strict=True))


def _merged(sources: Sequence[Sequence[Face]]) -> list[Face]:
    first, *rest = sources
    # What one source gives twice is two faces.
    faces = list(first)
    for source in rest:
        known = len(faces)
        for face in source:
            shares = [intersection_over_union(face.box, other.box) for other in faces[:known]]
            best = max(shares, default=0.0)
            if best > _SAME:
                place = shares.index(best)
                faces[place] = _completed(faces[place], face)
            else:
                faces.append(face)
    return faces


def _completed(face: Face, other: Face) -> Face:
    landmarks = face.landmarks or other.landmarks
    roll = face.roll if face.roll is not None else other.roll
    return replace(face, landmarks=landmarks, roll=roll, outline=face.outline or other.outline)
