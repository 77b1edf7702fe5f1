"""From IMAGE and MASK sockets to frames and back."""

from __future__ import annotations

import math

import comfy.model_management
import torch
from torch import Tensor

# What LoadImage gives as the mask of an image without alpha: this many pixels, all of them 0.
_NO_MASK = (64, 64)


def frames_of(image: Tensor) -> Tensor:
    """An IMAGE as frames ``[B, H, W, 3 or 4]`` float32: the very tensor where it is that already.

    Raises:
        ValueError: there is no picture in it, or it holds no picture, or one of whole numbers.
    """
    if image.ndim != 4 or image.shape[3] not in (3, 4):
        raise ValueError(f"Expected images [batch, height, width, 3 or 4], got {list(image.shape)}.")
    if image.numel() == 0:
        raise ValueError(f"There is no image in the batch: {list(image.shape)}. Check the node that made it.")
    if not image.is_floating_point():
        # Of 0..255, as they would be, faces put in at 0..1 were black.
        raise ValueError(f"Expected images of numbers from 0 to 1, got {image.dtype}. Check the node that made them.")
    _check_numbers("Image", image)
    return image.float()


def region_in(mask: Tensor | None, height: int, width: int) -> Tensor | None:
    """A MASK as a region of frames of that size: ``[B or 1, H, W]`` float32 0..1, or ``None`` for everywhere.

    The black 64 x 64 mask that LoadImage gives for an image without alpha means "no mask", not "nowhere". A mask
    ``[H, W]`` is one for all frames. Whether it has their size is for those who use it to check.

    Raises:
        ValueError: it holds no mask, or is of another shape, or a value in it is no number.
    """
    if mask is None:
        return None
    layers = mask[None] if mask.ndim == 2 else mask
    if layers.ndim != 3:
        raise ValueError(f"Expected masks [batch, height, width], got {list(mask.shape)}. Check the node that made it.")
    if layers.numel() == 0:
        raise ValueError(f"There is no mask in the batch: {list(mask.shape)}. Check the node that made it.")
    if _is_no_mask(layers, height, width):
        return None
    _check_numbers("Mask", layers)
    return layers.float().clamp(0, 1)


def _is_no_mask(mask: Tensor, height: int, width: int) -> bool:
    """Whether a MASK is what LoadImage gives for an image without alpha, and not one made for frames of that size."""
    return tuple(mask.shape[-2:]) == _NO_MASK and (height, width) != _NO_MASK and not bool(mask.any())


def to_socket(pixels: Tensor) -> Tensor:
    """Frames or masks where, and in the type in which, ComfyUI keeps what goes from node to node."""
    return pixels.to(
        device=comfy.model_management.intermediate_device(), dtype=comfy.model_management.intermediate_dtype()
    )


def nothing_changed(image: Tensor) -> Tensor:
    """The MASK that says that nothing of an IMAGE changed."""
    return to_socket(torch.zeros(image.shape[:3]))


def _check_numbers(what: str, frames: Tensor) -> None:
    """
    Args:
        what: to call one of the frames.
        frames: ``[B, ...]``, at least one.

    Raises:
        ValueError: one of them holds NaN or infinite values; names the first.
    """
    # A sum takes no memory, where a test of every value takes more than the batch has. It is no number where one value
    # is none; it may be infinite, too, where all are finite but large.
    wide = torch.promote_types(frames.dtype, torch.float32)
    sums = torch.stack([frame.sum(dtype=wide) for frame in frames]).tolist()
    for number, total in enumerate(sums):
        if not math.isfinite(total) and not bool(frames[number].isfinite().all()):
            raise ValueError(
                f"{what} {number + 1} holds values that are no numbers (NaN or infinite). Check the node that made it."
            )
