"""The grain of a picture, and the fine texture of its skin, kept where a restorer takes them away.

A restored face without grain looks like plastic, and in a picture with grain like a patch. What comes back is the
picture's own: no noise is made up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .masks import soft_square
from .texture import brightness, in_areas, median

# How far the mean reaches that grain is what differs from it: in pixels of the frame, of the crop, or of the picture
# before it was enlarged, whichever are the largest.
_REACH = 3
# Side in pixels of the crop of the areas in which it is looked for.
_AREA = 16
# How far grain lies from that mean at most, in its standard deviations: what lies farther is a line that was redrawn.
_MOST = 3
# Standard deviations to median deviations of normal noise.
_NORMAL = 1 / 0.6745
_NOTHING = 1e-9
# Softness of the edge between what is clean and what has the picture's grain, as a share of the crop: many times that
# of a mask. An edge in grain is seen where one in brightness is not.
_EDGE = 0.05


def grain_mask(size: int, amount: float, device: torch.device | str = "cpu") -> Tensor:
    """``[size, size]`` 0..1: how much of the grain stays in a crop.

    Args:
        amount: in the middle, 0..1. Towards the border of the crop all of it stays.
    """
    return 1 - (1 - amount) * soft_square(size, _EDGE, device)


def grain_taken(before: Tensor, after: Tensor, face: Tensor, scale: float, enlarged: float = 1) -> Tensor:
    """``[h, w, 3]``: what is to be added to ``after`` for the grain that ``before`` has.

    As much as is missing: where ``after`` has fine texture of its own, of that strength or more, nothing is added.

    Args:
        before, after: ``[h, w, 3]`` 0..1, part of a frame and what it is to become.
        face: ``[h, w]`` 0..1. What was taken there, half of which is skin, tells how strong the grain is.
        scale: pixels of the frame in one of the crop.
        enlarged: how many times the picture was enlarged.
    """
    reach = round(_REACH * max(1, enlarged, scale))
    given = before.movedim(-1, 0).contiguous()
    # Beside the crop the frame may hold what is no number.
    taken = _fine((given - after.movedim(-1, 0)).nan_to_num_(0), reach)
    lost = brightness(taken.movedim(0, -1))
    there = _fine(brightness(before).nan_to_num_(0)[None], reach)[0]
    every = max(1, min(lost.shape) // 128)
    few = slice(None, None, every)
    usual = median(lost[few, few].abs(), face[few, few] > 0.9).nan_to_num(posinf=0)
    most = _MOST * _NORMAL * usual
    had, has = (in_areas(band.square()[None, None], max(_AREA * scale, 2 * reach)) for band in (there, there - lost))
    missing = (1 - has / had.clamp_min(_NOTHING)).clamp_(0, 1).sqrt_()
    share = F.interpolate(missing, lost.shape, mode="bilinear")[0, 0]
    share.mul_((most / lost.abs().clamp_min_(_NOTHING)).clamp_(max=1))
    return taken.mul_(share).movedim(0, -1)


def _fine(planes: Tensor, reach: int) -> Tensor:
    """What pixels of ``[C, h, w]`` have and the mean of their neighbours up to ``reach`` pixels away has not."""
    around = _sum_along(_sum_along(planes, reach, 2), reach, 1)
    return torch.sub(planes, around, alpha=1 / (2 * reach + 1) ** 2, out=around)


def _sum_along(planes: Tensor, reach: int, axis: int) -> Tensor:
    """Of every pixel and its neighbours along an axis, the outermost repeated. Made of sums of 1, 2, 4, 8... pixels: a
    pooling takes the CPU many times as long."""
    length = planes.shape[axis]
    run = F.pad(planes, (reach, reach, 0, 0) if axis == 2 else (0, 0, reach, reach), mode="replicate")
    count, pixels, start = 2 * reach + 1, 1, 1
    total = run.narrow(axis, 0, length).clone()
    while 2 * pixels <= count:
        shorter = run.shape[axis] - pixels
        run = run.narrow(axis, 0, shorter) + run.narrow(axis, pixels, shorter)
        pixels *= 2
        if count & pixels:
            total += run.narrow(axis, start, length)
            start += pixels
    return total
