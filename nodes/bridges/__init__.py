"""Between faces and what other nodes send: bounding boxes, MediaPipe landmarks, SEGS and masks. Pure functions."""

from __future__ import annotations

from .boxes import boxes_of, faces_of_boxes
from .landmarks import faces_of_landmarks
from .masks import faces_of_mask, mask_of
from .segs import faces_of_segs, segs_of
from .union import united

__all__ = [
    "boxes_of",
    "faces_of_boxes",
    "faces_of_landmarks",
    "faces_of_mask",
    "faces_of_segs",
    "mask_of",
    "segs_of",
    "united",
]
