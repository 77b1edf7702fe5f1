"""Parts of pictures at other sizes, every pixel of which is the mean over all that it touches.

They are read off a table of sums, which takes the same few steps for one part or thousands, large or small, and is
exact on every device; MPS has no averaging to a size that is no divisor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Sums of pixels are kept in whole numbers of this fraction, so that they are exact on every device.
_ONE = 2**24


def sums_of(pictures: Tensor) -> Tensor:
    """The table of pictures ``[N, 3, h, w]`` 0..1, ``[N, h + 1, w + 1, 3]`` int64: at (y, x) the sum of the pixels
    above and to the left, in units of 1 / 2^24."""
    levels = (pictures.movedim(1, -1) * _ONE).round().long()
    return F.pad(levels.cumsum(1).cumsum(2), (0, 0, 1, 0, 1, 0))


def shrunk(sums: Tensor, height: int, width: int) -> Tensor:
    """The whole pictures of a table, as by ``interpolate(mode="area")``: ``[N, 3, height, width]`` 0..1."""
    (top, bottom), (left, right) = (
        (place[:-1] * old // new, -(-place[1:] * old // new))
        for old, new in ((sums.shape[1] - 1, height), (sums.shape[2] - 1, width))
        for place in [torch.arange(new + 1, device=sums.device)]
    )
    rows = sums.index_select(1, bottom) - sums.index_select(1, top)
    inside = rows.index_select(2, right) - rows.index_select(2, left)
    return _means(inside, (bottom - top)[:, None] * (right - left))


def parts_of(sums: Tensor, pictures: Tensor, first: Tensor, last: Tensor, side: int) -> Tensor:
    """As :func:`shrunk`, of parts of the pictures: ``[K, 3, side, side]`` 0..1.

    Args:
        pictures: ``[K]`` int64, the picture of each part.
        first, last: ``[K, 2]`` int64, x and y of its first pixel, and of that after its last.
    """
    place = torch.arange(side, device=sums.device)
    length = (last - first)[:, :, None]
    low = first[:, :, None] + place * length // side
    high = first[:, :, None] - (-(place + 1) * length // side)
    (left, top), (right, bottom) = (edges.unbind(1) for edges in (low, high))

    def sums_to(x: Tensor, y: Tensor) -> Tensor:
        return sums[pictures[:, None, None], y[:, :, None], x[:, None, :]]

    inside = sums_to(right, bottom) - sums_to(left, bottom) - sums_to(right, top) + sums_to(left, top)
    return _means(inside, (bottom - top)[:, :, None] * (right - left)[:, None, :])


def _means(sums: Tensor, areas: Tensor) -> Tensor:
    """``[N, 3, h, w]`` from sums ``[N, h, w, 3]`` over areas ``[..., h, w]`` of pixels."""
    return (sums.float() / (areas * _ONE)[..., None]).movedim(-1, 1)
