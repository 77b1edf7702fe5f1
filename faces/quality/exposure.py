"""How bright a face is, and how much of it is lost in black or white."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

# From these levels on nothing can be told apart: cameras and JPEG leave few pixels at exactly 0 and 255.
_BLACK, _WHITE = 5 / 255, 250 / 255


@dataclass(frozen=True)
class Exposure:
    """Attributes: mean luma, and shares of pixels with all channels black, or any channel white; each 0..1."""

    brightness: float
    black: float
    white: float


def exposure(pixels: Tensor, luma: Tensor, mask: Tensor) -> Exposure:
    """Of the pixels where a mask is above one half.

    Args:
        pixels: ``[H, W, 3]`` 0..1.
        luma: ``[H, W]`` 0..1.
        mask: ``[H, W]``, above one half somewhere.
    """
    inside = mask > 0.5
    seen = pixels[inside]
    return Exposure(
        brightness=float(luma[inside].mean()),
        black=float((seen <= _BLACK).all(1).float().mean()),
        white=float((seen >= _WHITE).any(1).float().mean()),
    )
