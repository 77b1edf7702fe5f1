"""SEGS of the Impact Pack: ``((height, width), [SEG, ...])`` for one image, or for all frames of an animation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from ...faces.face import Box, Face, Faces
from .masks import paint, parts_of, solid
from .scores import score_of


class Seg(NamedTuple):
    """One of SEGS, with the fields that nodes for SEGS read by name.

    Attributes:
        cropped_image: pixels of the crop region, or ``None``: nodes cut them out of the image themselves.
        cropped_mask: ``[H, W]`` float32 0..1 of the crop region.
        confidence: 0..1.
        crop_region: left, top, right, bottom: slices of the image.
        bbox: likewise.
        label: name of the class.
        control_net_wrapper: for nodes that add one.
    """

    cropped_image: Any
    cropped_mask: np.ndarray
    confidence: float
    crop_region: tuple[int, int, int, int]
    bbox: tuple[int, int, int, int]
    label: str
    control_net_wrapper: Any = None


Segs = tuple[tuple[int, int], list[Seg]]


def segs_of(faces: Faces, crop_factor: float) -> list[Segs]:
    """SEGS for each frame, the faces in their order, their boxes at whole pixels. Faces outside the frame are left out.

    Args:
        crop_factor: sides of the crop region over those of the box. The region is moved into the frame as the Impact
            Pack does, and cut off where it is larger.
    """
    size = faces.height, faces.width
    return [
        (size, [seg for face in frame if (seg := _seg(face, faces.width, faces.height, crop_factor)) is not None])
        for frame in faces.frames
    ]


def faces_of_segs(segs: Sequence[Any], width: int, height: int, count: int) -> list[list[Face]]:
    """The faces that SEGS stand for, for each of ``count`` frames.

    A mask gives an outline unless it is a rectangle. Where it has one layer for each frame, the face is in the frames
    in whose layer there is something. Boxes without an area are left out. The confidence is read by :func:`score_of`.

    Raises:
        ValueError: they were made for an image of another size, or hold masks for another number of frames, or their
            numbers are not finite.
    """
    (tall, wide, *_), parts = segs
    if (wide, tall) != (width, height):
        raise ValueError(
            f"The SEGS were made for an image of {wide} x {tall} pixels, but this one has {width} x {height}. "
            "Connect the image they were made for."
        )
    frames: list[list[Face]] = [[] for _ in range(count)]
    for seg in parts:
        left, top, right, bottom = box = _box(seg.bbox)
        if left >= right or top >= bottom:
            continue
        layers = _layers(seg.cropped_mask, count)
        for number, frame in enumerate(frames):
            layer = layers[number % len(layers)]
            if layer.any():
                frame.append(_face(seg, box, layer))
    return frames


def _box(edges: Any) -> Box:
    left, top, right, bottom = (float(value) - 0.5 for value in edges)
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"A box of the SEGS holds values that are no numbers: {edges!r}. Check the node that made it.")
    return left, top, right, bottom


def _layers(mask: Any, count: int) -> np.ndarray:
    values = mask.float().cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    inside = solid(values.reshape(-1, *values.shape[-2:]))
    if len(inside) not in (1, count):
        raise ValueError(f"A mask of the SEGS has {len(inside)} layers, but there are {count} images.")
    return inside


def _face(seg: Any, box: Box, inside: np.ndarray) -> Face:
    largest = max(parts_of(inside), key=lambda part: part.width * part.height)
    across, down = (int(value) for value in seg.crop_region[:2])
    outline = largest.outline
    return Face(
        box,
        score=score_of(seg.confidence),
        label=str(seg.label or "face"),
        outline=None if outline is None else tuple((x + across, y + down) for x, y in outline),
    )


def _seg(face: Face, width: int, height: int, crop_factor: float) -> Seg | None:
    left, right = (min(max(round(x + 0.5), 0), width) for x in face.box[::2])
    top, bottom = (min(max(round(y + 0.5), 0), height) for y in face.box[1::2])
    if left >= right or top >= bottom:
        return None
    first, last = _span(left, right, crop_factor, width)
    upper, lower = _span(top, bottom, crop_factor, height)
    mask = torch.zeros(lower - upper, last - first)
    # The very box that the others read, and not a pixel more.
    whole = replace(face, box=(left - 0.5, top - 0.5, right - 0.5, bottom - 0.5))
    paint(mask, whole, first, upper)
    return Seg(None, mask.numpy(), face.score, (first, upper, last, lower), (left, top, right, bottom), face.label)


def _span(first: int, last: int, factor: float, limit: int) -> tuple[int, int]:
    """A span of ``factor`` times the length with the same middle, moved and then cut to lie in 0..limit."""
    length = math.ceil((last - first) * factor)
    begin = round((first + last - length) / 2)
    begin = max(min(begin, limit - length), 0)
    return begin, min(begin + length, limit)
