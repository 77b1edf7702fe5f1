"""Faces that are skipped for their size, place or number, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...fields import setting
from ..face import Face, Faces
from .sizes import reason_against_size


@dataclass(frozen=True)
class SkipSettings:
    """Which faces are skipped. By the defaults none is.

    Attributes:
        min_size: least size of the longer side of the box, in pixels of the frame.
        max_size: greatest size likewise; 0 means no limit.
        max_count: how many faces of a frame at most, the largest ones; 0 means all.
        only_center: only the face nearest to the middle of the frame.
    """

    min_size: int = setting(
        0,
        "Faces whose longer side is smaller than this many pixels are left as they are.",
        name="min_face",
        low=0,
        high=16384,
    )
    max_size: int = setting(
        0,
        "Faces whose longer side is larger than this many pixels are left as they are. 0: no limit.",
        name="max_face",
        low=0,
        high=16384,
    )
    max_count: int = setting(
        0, "Only the largest faces of each image. 0: all of them.", name="max_faces", low=0, high=1000
    )
    only_center: bool = setting(False, "Only the face nearest to the middle of each image.")


def reasons_to_skip(faces: Sequence[Face], width: int, height: int, settings: SkipSettings) -> list[str | None]:
    """For each face of a frame of ``width`` x ``height`` pixels: why it is left alone, or ``None`` if it is not.

    Faces outside the frame are left out first, then sizes are judged, then the place, then the number. Ties go to the
    face that is given first.
    """
    reasons: list[str | None] = [None] * len(faces)

    def left() -> list[int]:
        return [index for index, reason in enumerate(reasons) if reason is None]

    for index, face in enumerate(faces):
        left_edge, top_edge, right_edge, bottom_edge = face.box
        if right_edge <= -0.5 or bottom_edge <= -0.5 or left_edge >= width - 0.5 or top_edge >= height - 0.5:
            reasons[index] = "outside the image"
        else:
            reasons[index] = reason_against_size(face, settings.min_size, settings.max_size)
    if settings.only_center and left():
        middle = ((width - 1) / 2, (height - 1) / 2)
        nearest = min(left(), key=lambda index: (math.dist(faces[index].centre, middle), index))
        for index in left():
            if index != nearest:
                reasons[index] = "not nearest to the centre"
    if settings.max_count > 0:
        largest = sorted(left(), key=lambda index: (-faces[index].width * faces[index].height, index))
        for index in largest[settings.max_count :]:
            reasons[index] = f"not among the {settings.max_count} largest"
    return reasons


def without_skipped(faces: Faces, settings: SkipSettings) -> Faces:
    """The faces of each frame that are not skipped, with the numbers that they had."""

    def kept(found: Sequence[Face]) -> Iterator[Face]:
        reasons = reasons_to_skip(found, faces.width, faces.height, settings)
        return (face for face, reason in zip(found, reasons, strict=True) if reason is None)

    return faces.with_frames(map(kept, faces.frames))
