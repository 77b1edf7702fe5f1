"""Whole frames at another size: cubic, area-correct when shrinking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def scaled_size(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width after resizing by ``factor``: each side by itself to the nearest whole number, 1 at least."""
    return max(1, round(factor * height)), max(1, round(factor * width))


def resize_frames(frames: Tensor, factor: float) -> Tensor:
    """Resizes without a network: cubic, area-correct when shrinking.

    Pixel centres are kept exactly: ``x`` goes to ``(x + 0.5) * s - 0.5`` where ``s`` is the width that comes out over
    the width that went in (``factor``, where it divides without rest), and likewise ``y``.

    Args:
        frames: ``[B, H, W, 3]`` float, 0..1.
        factor: greater than 0. 1 gives the very same tensor back.

    Returns:
        ``[B, H', W', 3]`` of :func:`scaled_size`, 0..1.
    """
    return resize_frames_to(frames, *scaled_size(frames.shape[1], frames.shape[2], factor))


def resize_frames_to(frames: Tensor, height: int, width: int) -> Tensor:
    """As :func:`resize_frames`, to a size: ``[B, height, width, 3]``. The very same tensor where it has it already."""
    if (height, width) == tuple(frames.shape[1:3]):
        return frames
    return torch.stack([resize_image(frame.permute(2, 0, 1), (height, width)).permute(1, 2, 0) for frame in frames])


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[3, H, W]`` float to another height and width, float32 in 0..1: Catmull-Rom's cubic, stretched over the source
    pixels when shrinking. The very same tensor where it has that size already."""
    if image.shape[1:] == size:
        return image
    return F.interpolate(image[None].float(), size=size, mode="bicubic", antialias=True)[0].clamp(0, 1)
