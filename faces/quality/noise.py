"""How noisy a part of a frame is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# Blind to constants, slopes and straight edges along the axes (Immerkaer, "Fast noise variance estimation", 1996). Its
# squares sum to 36, so that white noise comes out six times as strong.
_KERNEL = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
# The median of the size of a normal variable, in standard deviations.
_MEDIAN = 0.6745


def noise_level(luma: Tensor) -> float:
    """The standard deviation of white noise in a picture, in levels of 255.

    Immerkaer's operator, and the median of its size instead of the mean, as Donoho and Johnstone ("Ideal spatial
    adaptation by wavelet shrinkage", 1994) estimate noise from the finest band: edges and texture are few among the
    pixels, and the median passes over them.

    Noise of the luma is told: independent noise of deviation 1 in each channel gives 0.67. Noise that was smoothed
    since, by JPEG or by enlarging, is underestimated, because it is no longer white.

    Args:
        luma: ``[H, W]`` 0..1, at least 3 by 3.
    """
    kernel = luma.new_tensor(_KERNEL) / 6
    seen = F.conv2d(luma[None, None], kernel[None, None])
    return float(seen.abs().median()) / _MEDIAN * 255
