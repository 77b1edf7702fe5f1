"""Putting windows back after their pixels were repainted."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .face import PixelBox
from .geometry import invert
from .paste import Patch
from .sampling import Interpolation, view
from .windows import Window

# Mean difference between the repainted window and what it was made from, 0..1, over which the frame's own fine detail
# gives way. A VAE's round trip alone is worth 2 to 5 levels of 255 in skin; features that change differ by 20 and more.
_KEPT_BELOW = 12 / 255
# Side of the neighbourhood, in frame pixels, in which that difference is measured: wider than the detail it decides on.
_NEIGHBOURHOOD = 7


def settle(
    frame: Tensor, window: Window, given: Tensor, repainted: Tensor, mask: Tensor, region: Tensor | None = None
) -> Patch | None:
    """Takes a repainted window to the pixels of its frame.

    What a window could not carry, because it was shrunk, turned or merely resampled, is put back where the repainted
    window agrees with the given one: a window that comes back unchanged leaves the frame unchanged, at every scale and
    angle. Where it was painted anew, nothing of the old detail remains.

    Args:
        frame: ``[H, W, 3 or more]`` 0..1, what the window shows.
        given, repainted: ``[h, w, 3]`` 0..1, the window before and after, as the network saw it.
        mask: ``[h, w]`` 0..1: how much is put back. At sides of the window that lie inside the frame it must end in 0.
        region: ``[H, W]`` 0..1 in frame pixels, on the device of ``frame``: where it may change; everywhere where there
            is none.

    Returns:
        The patch, on the device of ``frame``, or ``None`` where the window lies outside the frame.
    """
    place = _covered(window)
    if place is None:
        return None
    left, top, right, bottom = place
    back = invert(window.matrix)

    def in_frame(image: Tensor, interpolation: Interpolation = "bicubic") -> Tensor:
        return view(image.to(frame.device), back, bottom - top, right - left, interpolation, left=left, top=top)

    before, after = in_frame(given), in_frame(repainted)
    share = in_frame(mask[..., None], "bilinear")
    if region is not None:
        share *= region[top:bottom, left:right, None]
    original = frame[top:bottom, left:right, :3].float()
    pixels = (after + _kept(before, after) * (original - before)).clamp_(0, 1)
    shift = torch.tensor([[1.0, 0.0, left], [0.0, 1.0, top]], dtype=torch.float64)
    # Both lie on the frame's pixels already, so that reading them is a copy.
    return Patch(
        frame=window.frame,
        box=place,
        corners=window.corners,
        mask=share,
        from_mask=shift,
        pixels=pixels,
        from_pixels=shift,
        interpolation="bilinear",
    )


def _kept(before: Tensor, after: Tensor) -> Tensor:
    """``[h, w, 1]``: 1 where nothing was repainted, falling to 0 with the mean difference around a pixel."""
    difference = (after - before).abs().amax(-1)[None, None]
    reach = _NEIGHBOURHOOD // 2
    # One direction after the other, for a third of the time.
    around = F.avg_pool2d(difference, (1, _NEIGHBOURHOOD), 1, (0, reach), count_include_pad=False)
    around = F.avg_pool2d(around, (_NEIGHBOURHOOD, 1), 1, (reach, 0), count_include_pad=False)
    return (1 - around / _KEPT_BELOW).clamp_(0, 1)[0, 0, :, :, None]


def _covered(window: Window) -> PixelBox | None:
    """The pixels of the frame that a window reaches, or ``None`` where it lies outside the frame."""
    across, down = [x for x, _ in window.corners], [y for _, y in window.corners]
    # A window whose pixels are pixels of the frame reaches no others.
    on_pixels = window.scale == 1 and all(place.is_integer() for place in (*across, *down))
    reach = 0 if on_pixels else 1 / window.scale
    left, top = max(math.floor(min(across) - reach), 0), max(math.floor(min(down) - reach), 0)
    right = min(math.ceil(max(across) + reach) + 1, window.frame_width)
    bottom = min(math.ceil(max(down) + reach) + 1, window.frame_height)
    return (left, top, right, bottom) if right > left and bottom > top else None
