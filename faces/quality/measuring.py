"""From frames and faces to the quality of each face."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..colour import LUMA
from ..crops import check_frames, extract, inside_frame, plan_crops
from ..face import Box, Faces
from ..masks import ellipse
from .blocks import blockiness
from .exposure import exposure
from .noise import noise_level
from .sharpness import sharpness

# Of the aligned crops in which a face is looked at. Faces are half of it wide.
_SIDE = 256
# Noise and blocks belong to the picture rather than to the face, and a small part of it holds too little of them: the
# part around a face is at least so large, where the frame is, and less than half of it says nothing.
_PART, _LEAST_PART = 128, 48
# The least share of the oval of the face that must lie in the frame.
_LEAST_SHOWN = 0.1
# How many crops are held at once.
_GROUP = 32


@dataclass(frozen=True)
class FaceQuality:
    """How good the picture of a face is; ``None`` where that cannot be told.

    Attributes:
        sharpness: of the face's edges in proportion to the face (:func:`~.sharpness.sharpness`, in a crop of 256
            pixels): 1 is a sharp portrait. A face of few pixels cannot be sharp.
        noise: standard deviation in levels of 255, in the frame's own pixels around the face.
        blockiness: how much the blocks of a JPEG file show there; 0 for not at all.
        brightness: mean luma of the face, 0..1.
        black, white: shares of the face, 0..1, that are too dark or too bright to show anything.
    """

    sharpness: float | None
    noise: float | None
    blockiness: float | None
    brightness: float | None
    black: float | None
    white: float | None


def face_qualities(frames: Tensor, faces: Faces) -> tuple[tuple[FaceQuality, ...], ...]:
    """The quality of each face of each frame.

    Args:
        frames: ``[B, H, W, 3 or more]`` 0..1; channels after the third are left out.
        faces: those of ``frames``.

    Raises:
        ValueError: the frames are not those that the faces were found in.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    measured = _measured(frames, faces)
    return tuple(tuple(next(measured) for _ in found) for found in faces.frames)


def _measured(frames: Tensor, faces: Faces) -> Iterator[FaceQuality]:
    """In the order of ``faces.placed``."""
    oval = ellipse(_SIDE, device=frames.device)
    for start in range(0, faces.count, _GROUP):
        placed = faces.placed[start : start + _GROUP]
        crops = plan_crops(placed, _SIDE, faces.width, faces.height, len(frames))
        pixels = extract(frames, crops)
        grey, masks = _luma_of(pixels), inside_frame(crops, frames.device) * oval
        sharp = sharpness(grey, masks)
        for index, (frame, face) in enumerate(placed):
            part = _part(frames[frame], face.box)
            large = min(part.shape) >= _LEAST_PART
            shown = float((masks[index] > 0.5).sum() / (oval > 0.5).sum()) >= _LEAST_SHOWN
            light = exposure(pixels[index], grey[index], masks[index]) if shown else None
            yield FaceQuality(
                sharpness=_known(float(sharp[index])) if shown else None,
                noise=noise_level(part) if large else None,
                blockiness=blockiness(part) if large else None,
                brightness=None if light is None else light.brightness,
                black=None if light is None else light.black,
                white=None if light is None else light.white,
            )


def _luma_of(pixels: Tensor) -> Tensor:
    """``[..., H, W]`` of pixels ``[..., H, W, 3]``."""
    return pixels.float() @ torch.tensor(LUMA, device=pixels.device)


def _part(frame: Tensor, box: Box) -> Tensor:
    """The luma of the frame ``[H, W, C]`` in a box, or around it where the box is small."""
    height, width = frame.shape[:2]
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    return _luma_of(frame[top:bottom, left:right, :3])


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """From where to where along one side, within the frame."""
    size = min(max(round(high - low), _PART), length)
    begin = min(max(round((low + high - size) / 2), 0), length - size)
    return begin, begin + size


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
