"""Parts of faces, or whole ones, and what is left of them when they are degraded."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.restorers.visage import SIDE
from .degradation_recipes import Ranges
from .degradations import degrade, recoloured
from .pictures import as_float, drawn, generator_of


@dataclass(frozen=True)
class DegradedBatch:
    """What a step learns from.

    Attributes:
        truth: ``[N, 3, side, side]``, 0..1.
        damaged: likewise.
        corners: ``[N, 2]``: where they lie in the crop, as the network takes it.
    """

    truth: Tensor
    damaged: Tensor
    corners: Tensor


@dataclass(frozen=True)
class DegradedBatches:
    """Draws batches that depend on nothing but the seed and the step.

    Attributes:
        faces: uint8 ``[M, 3, 512, 512]``, FFHQ-aligned.
        unit: of the network, in pixels.
        sizes: different shrinkings in a batch at most.
        ranges: of what happens to them.
    """

    faces: Tensor
    unit: int
    sizes: int
    seed: int
    ranges: Ranges = Ranges()

    def draw(self, number: int, count: int, side: int) -> DegradedBatch:
        """The batch of step ``number``: squares of ``side`` pixels, whole faces with that of the crop."""
        whole = side == SIDE
        chance = random.Random(f"{self.seed}/{number}/{whole}")  # noqa: S311
        parts, corners = [], []
        for picture in self.faces[drawn(len(self.faces), count, self.seed + whole, number)]:
            mirrored = picture.flip(-1) if chance.random() < 0.5 else picture
            part, corner = _part(mirrored, side, self.unit, chance)
            parts.append(part)
            corners.append(corner)
        truth = recoloured(as_float(torch.stack(parts)), chance)
        recipes = self.ranges.draw_batch(chance, count, self.sizes)
        damaged = degrade(truth, recipes, generator_of(self.seed, number, truth.device))
        return DegradedBatch(truth, damaged.contiguous(memory_format=torch.channels_last), torch.tensor(corners))


def _part(picture: Tensor, side: int, unit: int, chance: random.Random) -> tuple[Tensor, tuple[int, int]]:
    """A square of a crop, up to a quarter of a unit off the place that is told, as detectors are."""
    most = (SIDE - side) // unit
    corner = chance.randint(0, most), chance.randint(0, most)
    top, left = (min(max(0, place * unit + chance.randint(-unit // 4, unit // 4)), SIDE - side) for place in corner)
    return picture[:, top : top + side, left : left + side], corner
