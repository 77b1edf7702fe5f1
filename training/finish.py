"""What happens to a picture between the lens and the file: colour, exposure, noise, print. On tensors, in batches.

Every function takes pictures ``[N, 3, h, w]`` float32 0..1 and gives the same shape and range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.restorers.visage.bands import luma
from . import jpeg

# A toned print: how much of red, green and blue an old brown photograph keeps of its grey.
_SEPIA = (1.0, 0.86, 0.66)
# One in how many pictures gets each of the finishes over the whole picture.
_SHARES = {"grey": 0.25, "sepia": 0.5, "blur": 0.2, "noise": 0.3, "jpeg": 0.25, "engraving": 0.08}


def grey(pictures: Tensor) -> Tensor:
    return luma(pictures).expand(-1, 3, -1, -1)


def exposed(pictures: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Gain of each channel, contrast around the middle, and gamma, all drawn anew for each picture.

    Args:
        strength: 1 for gains up to 1.5, contrast from 0.6 to 1.3 and gamma from 0.6 to 1.7; 0 for no change.
    """
    draws = (torch.rand(len(pictures), 6, generator=generator) * strength).to(pictures.device)[..., None, None]
    middle = strength / 2
    gain = torch.exp2((draws[:, :3] - middle) * 0.4 + (draws[:, 3:4] - middle) * 0.8)
    contrast = 1 - 0.4 * strength + 0.7 * draws[:, 4:5]
    gamma = torch.exp2((draws[:, 5:6] - middle) * 1.5)
    return ((pictures * gain - 0.5) * contrast + 0.5).clamp(1e-3, 1).pow(gamma)


def blurred(pictures: Tensor, share: float) -> Tensor:
    """As seen at ``share`` of the resolution."""
    height, width = pictures.shape[-2:]
    size = max(4, round(height * share)), max(4, round(width * share))
    small = F.interpolate(pictures, size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False)


def noisy(pictures: Tensor, strength: Tensor, own: torch.Generator) -> Tensor:
    """Gaussian noise of a standard deviation ``[N]``, drawn where the pictures are."""
    noise = torch.randn(pictures.shape, generator=own, device=pictures.device)
    return (pictures + noise * strength[:, None, None, None]).clamp(0, 1)


def coded(pictures: Tensor, qualities: Sequence[int]) -> Tensor:
    """As they come back from JPEG files."""
    return (jpeg.through_codec if pictures.device.type == "cpu" else jpeg.in_tensors)(pictures, qualities)


def engraved(pictures: Tensor, angle: float, period: float, depth: float) -> Tensor:
    """Dark lines on light paper, thicker where the picture is darker; at ``depth`` 1 nothing else is left of it."""
    height, width = pictures.shape[-2:]
    y = torch.arange(height, device=pictures.device)[:, None]
    x = torch.arange(width, device=pictures.device)[None]
    wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period))
    tone = grey(pictures)
    lines = ((tone - 0.5 + 0.45 * wave) * 3 + 0.5).clamp(0, 1) * 0.9 + 0.08
    return tone.lerp(lines, depth)


def finished(pictures: Tensor, generator: torch.Generator, own: torch.Generator) -> Tensor:
    """Whole pictures, each with a random choice of all of these.

    Args:
        pictures: ``[N, 3, h, w]``, left as they are.
        generator: draws what happens, on the CPU.
        own: draws the noise, on the device of the pictures.
    """
    pictures = exposed(pictures, generator)
    drawn = {name: _drawn(len(pictures), share, generator) for name, share in _SHARES.items()}
    toned = drawn["grey"]
    if toned:
        pictures[toned] = grey(pictures[toned])
        brown = toned[: round(len(toned) * _SHARES["sepia"])]
        pictures[brown] *= torch.tensor(_SEPIA, device=pictures.device)[:, None, None]
    for index in drawn["engraving"]:
        angle, period, depth = torch.rand(3, generator=generator).tolist()
        pictures[index : index + 1] = engraved(
            pictures[index : index + 1], math.pi * angle, 2.5 + 4 * period, 0.2 + 0.6 * depth
        )
    for index in drawn["blur"]:
        share = 0.35 + 0.6 * float(torch.rand((), generator=generator))
        pictures[index : index + 1] = blurred(pictures[index : index + 1], share)
    grainy = drawn["noise"]
    if grainy:
        strength = 0.08 * torch.rand(len(grainy), generator=generator).square()
        pictures[grainy] = noisy(pictures[grainy], strength.to(pictures.device), own)
    files = drawn["jpeg"]
    if files:
        qualities = torch.randint(15, 95, (len(files),), generator=generator).tolist()
        pictures[files] = coded(pictures[files], qualities)
    return pictures


def _drawn(count: int, share: float, generator: torch.Generator) -> list[int]:
    return (torch.rand(count, generator=generator) < share).nonzero()[:, 0].tolist()
