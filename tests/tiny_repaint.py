"""Crops to repaint, and a count of the steps that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from visage.faces.windows import Window
from visage.models.refiners import Refiner, Repaint, Sampling


@dataclass
class Steps:
    count: int = 0

    def advance(self, steps: int = 1) -> None:
        self.count += steps


def a_crop(height: int = 16, width: int = 24, **more: Any) -> Repaint:
    """Noise as a picture, masked in the middle half of each side."""
    pixels = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(height, width)
    mask[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 1
    window = Window(0, width, height, torch.eye(2, 3, dtype=torch.float64), width, height)
    return replace(Repaint(pixels, mask, window, "a face", "", 5, 0.5), **more)


def repainted(refiner: Refiner, work: Repaint, sampling: Sampling, steps: Steps | None = None) -> Tensor:
    return refiner.repaint(work, sampling, steps or Steps())
