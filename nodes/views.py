"""Faces as other nodes and people see them: ComfyUI's bounding boxes, a mask, a drawing."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing import draw_faces
from ..faces.face import Face, Faces, Point, resized
from ..faces.masks import polygon

# A preview is for looking at: no larger than a node is ever shown, and not a whole video of it.
_PREVIEW_SIDE = 1024
_PREVIEW_FRAMES = 8


def bounding_boxes(faces: Faces) -> list[list[dict[str, Any]]]:
    """What ComfyUI's own nodes send as BOUNDING_BOX: for each frame a list of boxes, the surest first.

    ``x, y, width, height`` in pixels with 0 at the outer edge of the first pixel, ``label`` and ``score``; beside
    these, for those who look, ``landmarks``, ``angle`` (degrees, clockwise) and ``index`` (place in reading order).
    """
    return [[_bounding_box(face) for face in sorted(frame, key=lambda face: -face.score)] for frame in faces.frames]


def mask(faces: Faces) -> Tensor:
    """``[B, H, W]``: 1 where a face is, by its outline where the detector gave one and by its box elsewhere."""
    painted = torch.zeros(len(faces.frames), faces.height, faces.width)
    for number, face in faces.placed:
        outline = face.outline or _corners(face)
        across, down = [x for x, _ in outline], [y for _, y in outline]
        left, right = max(math.ceil(min(across)), 0), min(math.floor(max(across)) + 1, faces.width)
        top, bottom = max(math.ceil(min(down)), 0), min(math.floor(max(down)) + 1, faces.height)
        if right <= left or bottom <= top:
            continue
        window = painted[number, top:bottom, left:right]
        if face.outline is None:
            window.fill_(1)
        else:
            shifted = tuple((x - left, y - top) for x, y in outline)
            window.copy_(torch.maximum(window, polygon(shifted, bottom - top, right - left)))
    return painted


def drawing(frames: Tensor, faces: Faces) -> Tensor:
    """The first few frames ``[B, H, W, C]``, shrunk to a preview, with boxes, outlines, landmarks and scores.

    Returns:
        ``[at most 8, h, w, 3]`` with a longer side of at most 1024 pixels.
    """
    scale = min(1.0, _PREVIEW_SIDE / max(faces.width, faces.height))
    size = max(1, round(faces.height * scale)), max(1, round(faces.width * scale))
    some = frames[:_PREVIEW_FRAMES, ..., :3].movedim(-1, 1)
    shown = F.interpolate(some, size=size, mode="bilinear", antialias=True) if scale < 1 else some
    pictures = [
        draw_faces(picture.movedim(0, -1), [resized(face, scale) for face in found])
        for picture, found in zip(shown, faces.frames, strict=False)
    ]
    return torch.stack(pictures)


def _bounding_box(face: Face) -> dict[str, Any]:
    left, top, _, _ = face.box
    box = {"x": left + 0.5, "y": top + 0.5, "width": face.width, "height": face.height}
    landmarks = None if face.landmarks is None else [(x + 0.5, y + 0.5) for x, y in face.landmarks]
    return {
        **box,
        "label": face.label,
        "score": face.score,
        "landmarks": landmarks,
        "angle": face.roll,
        "index": face.index,
    }


def _corners(face: Face) -> tuple[Point, ...]:
    left, top, right, bottom = face.box
    return (left, top), (right, top), (right, bottom), (left, bottom)
