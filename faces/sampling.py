"""Resampling: a view of an image under a similarity, area-correct when it shrinks.

Growing is bicubic. Shrinking is bilinear from a grid that is at most sqrt(3) finer than the result, got by averaging
areas: a tent and a box of that width have together the variance of the box that one new pixel covers. Against a
6 x 6 supersampled reference the root mean square error on a photograph is 1.7 levels of 255 at a shrink of 1.2 and
3.2 at 4, where averaging down to the very size and then interpolating gives 6.3 and 8.1, and plain bilinear 1.7 and
10.6 (`python benchmarks/sampling.py`).

Images here are ``[H, W, C]`` float32, as frames are. On the CPU the work is done by OpenCV 5 on the tensors' own
memory, which is three times as fast as ``grid_sample`` there and, unlike OpenCV 4 with its 1/32 px tables, the same
function: the two differ by less than 0.02 of 255 levels (`tests/test_sampling.py`).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..opencv import opencv
from .face import PixelBox
from .geometry import invert

Interpolation = Literal["bilinear", "bicubic"]
Border = Literal["replicate", "zero"]

# The six numbers of a matrix, row by row. One view takes a dozen small steps; as tensors they would cost as much as
# the pixels of a small face.
_Affine = tuple[float, float, float, float, float, float]

# Bicubic reads two pixels to each side; one more for rounding.
_REACH = 3

# See above: tent (1/6) and box (1/12) at a spacing of 1/sqrt(3) add up to a box (1/12) at a spacing of 1.
_FINER = math.sqrt(3)


def view(
    image: Tensor,
    matrix: Tensor,
    height: int,
    width: int,
    interpolation: Interpolation = "bicubic",
    border: Border = "replicate",
    left: int = 0,
    top: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    """What a window of ``height`` x ``width`` pixels sees of an image under a similarity.

    Only the part of the image under the window is read, so the cost does not depend on the size of the image.

    Args:
        image: ``[H, W, C]``, any float type.
        matrix: ``[2, 3]`` float64 similarity from image pixels to the pixels among which the window lies.
        interpolation: for a window that enlarges; one that shrinks is always read area-correct.
        border: what the image is taken to be beyond its border: its outermost pixels, or zeros.
        left, top: the first pixel of the window, among those that ``matrix`` leads to.
        out: ``[height, width, C]`` float32, contiguous, to write to.

    Returns:
        ``[height, width, C]`` float32 on the device of ``image``, within 0..1 as the image is.
    """
    (a, b, x), (c, d, y) = matrix.tolist()
    x, y = x - left, y - top
    scale = math.sqrt(abs(a * d - b * c))
    if out is None:
        out = torch.empty(height, width, image.shape[2], device=image.device)
    if (a, b, c, d) == (1, 0, 0, 1) and x.is_integer() and y.is_integer():
        start_x, start_y = round(-x), round(-y)
        if 0 <= start_x <= image.shape[1] - width and 0 <= start_y <= image.shape[0] - height:
            return out.copy_(image[start_y : start_y + height, start_x : start_x + width])
    x1, y1, x2, y2 = _footprint((a, b, x, c, d, y), scale, height, width)
    if x1 >= 0 and y1 >= 0 and x2 <= image.shape[1] and y2 <= image.shape[0]:
        border = "zero"  # It is not seen, and this one is the quicker.
    # A window that lies wholly outside still sees the nearest border pixels.
    x1, y1 = min(max(x1, 0), image.shape[1] - 1), min(max(y1, 0), image.shape[0] - 1)
    x2, y2 = max(min(x2, image.shape[1]), x1 + 1), max(min(y2, image.shape[0]), y1 + 1)
    part = image[y1:y2, x1:x2].float()
    x, y = x + a * x1 + b * y1, y + c * x1 + d * y1
    if scale * _FINER < 1:
        new_height, new_width = (max(1, round(side * scale * _FINER)) for side in part.shape[:2])
        across, down = new_width / part.shape[1], new_height / part.shape[0]
        part = area_resize(part, new_height, new_width)
        # From the shrunk part: x = (x' + 0.5) / across - 0.5, and likewise y.
        a, b, c, d = a / across, b / down, c / across, d / down
        x += a * (1 - across) / 2 + b * (1 - down) / 2
        y += c * (1 - across) / 2 + d * (1 - down) / 2
    if scale < 1:
        interpolation = "bilinear"
    on_cpu = part.device.type == "cpu" and _opencv_is_exact()
    (_warp_with_opencv if on_cpu else _warp_with_grid)(part, (a, b, x, c, d, y), out, interpolation, border)
    # Only bicubic overshoots.
    return out.clamp_(0, 1) if interpolation == "bicubic" else out


def within(
    matrix: Tensor, height: int, width: int, image_height: int, image_width: int, device: torch.device, step: int = 1
) -> Tensor:
    """1 where a window shows an image, 0 where it shows the border replicated beyond it.

    Args:
        matrix: ``[2, 3]`` float64 similarity from pixels of the image to pixels of the window.
        height, width: of the window.
        step: looks at every pixel in so many rows and columns only.

    Returns:
        ``[height / step, width / step]``, rounded up.
    """
    x = torch.arange(0, width, step, dtype=torch.float32, device=device)[None, :]
    y = torch.arange(0, height, step, dtype=torch.float32, device=device)[:, None]
    (a, b, right), (c, d, below) = invert(matrix).tolist()
    across: Tensor = a * x + b * y + right
    down: Tensor = c * x + d * y + below
    seen = (across >= -0.5) & (across <= image_width - 0.5) & (down >= -0.5) & (down <= image_height - 0.5)
    return seen.float()


def area_resize(image: Tensor, height: int, width: int) -> Tensor:
    """Shrinks ``[H, W, C]`` float32: every new pixel is the mean over exactly the area it covers."""
    if image.device.type == "cpu":
        cv2 = opencv()
        # OpenCV's own error for a lack of memory is known to nobody for one, so the memory is not left to it.
        pixels = image.numpy()
        shrunk = np.empty((height, width, image.shape[2]), pixels.dtype)
        return torch.from_numpy(cv2.resize(pixels, (width, height), dst=shrunk, interpolation=cv2.INTER_AREA)).reshape(
            height, width, image.shape[2]
        )
    across = _area_weights(image.shape[1], width, image.device)
    down = _area_weights(image.shape[0], height, image.device)
    return torch.einsum("yh,hwc,xw->yxc", down, image, across)


def _area_weights(old: int, new: int, device: torch.device) -> Tensor:
    """``[new, old]``: the share of each old pixel in each new one, along one side."""
    edges = torch.arange(new + 1, dtype=torch.float64) * (old / new)
    cells = torch.arange(old, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], cells[None] + 1) - torch.maximum(edges[:-1, None], cells[None])
    return (overlap.clamp_min(0) * (new / old)).to(device=device, dtype=torch.float32)


def _footprint(matrix: _Affine, scale: float, height: int, width: int) -> PixelBox:
    """All that a window needs of an image, which may be beyond the image."""
    a, b, x, c, d, y = _inverse(matrix)
    across = [x, x + a * (width - 1), x + b * (height - 1), x + a * (width - 1) + b * (height - 1)]
    down = [y, y + c * (width - 1), y + d * (height - 1), y + c * (width - 1) + d * (height - 1)]
    reach = _REACH * max(1.0, 1 / scale)
    return (
        math.floor(min(across) - reach),
        math.floor(min(down) - reach),
        math.ceil(max(across) + reach) + 1,
        math.ceil(max(down) + reach) + 1,
    )


def _inverse(matrix: _Affine) -> _Affine:
    a, b, x, c, d, y = matrix
    area = a * d - b * c
    return d / area, -b / area, (b * y - d * x) / area, -c / area, a / area, (c * x - a * y) / area


@cache
def _opencv_is_exact() -> bool:
    cv2 = opencv()
    return int(cv2.__version__.split(".")[0]) >= 5


def _warp_with_opencv(
    image: Tensor, matrix: _Affine, out: Tensor, interpolation: Interpolation, border: Border
) -> None:
    cv2 = opencv()
    cv2.warpAffine(
        image.numpy(),
        np.array(matrix).reshape(2, 3),
        (out.shape[1], out.shape[0]),
        dst=out.numpy(),
        flags=cv2.INTER_CUBIC if interpolation == "bicubic" else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT,
    )


def _warp_with_grid(image: Tensor, matrix: _Affine, out: Tensor, interpolation: Interpolation, border: Border) -> None:
    """The same on any device.

    The grid is made by multiply and add in float32 from float64 coefficients. ``affine_grid`` would go through a
    matrix product, which is imprecise under autocast or TF32.
    """
    a, b, x, c, d, y = _inverse(matrix)
    rows = torch.arange(out.shape[0], device=image.device, dtype=torch.float32)[:, None]
    columns = torch.arange(out.shape[1], device=image.device, dtype=torch.float32)[None, :]
    # grid_sample wants -1..1 from edge to edge, that is (2 * x + 1) / size - 1 for a pixel centre x.
    across, down = 2 / image.shape[1], 2 / image.shape[0]
    grid = torch.stack(
        [
            columns * (a * across) + (rows * (b * across) + ((x + 0.5) * across - 1)),
            columns * (c * down) + (rows * (d * down) + ((y + 0.5) * down - 1)),
        ],
        dim=-1,
    )
    planes = image.permute(2, 0, 1)[None]
    padding = "border" if border == "replicate" else "zeros"
    sampled = F.grid_sample(planes, grid[None], mode=interpolation, padding_mode=padding, align_corners=False)
    out.copy_(sampled[0].permute(1, 2, 0))
