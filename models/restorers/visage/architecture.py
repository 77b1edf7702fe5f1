"""The built-in restorer: a U-Net whose finest features lie at a quarter of the picture's resolution.

What it adds to the input is gated place by place, so that it can leave a sharp crop as it is. Pixels are folded into
channels (Shi et al., "Real-Time Single Image and Video Super-Resolution", 2016) on the way in and out; blocks are
residual without normalisation (Lim et al., "Enhanced Deep Residual Networks", 2017), which keeps contrast and noise
level readable; a mean over the whole crop tells all places how bad it is. Faces lie at the same place in every crop:
a learned map of that place stands beside the coarsest features.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FOLD = 4
"""Side of the square of pixels that becomes one place of the finest features."""
SIDE = 512
"""Side of the aligned crop in pixels."""

_SLOPE = 0.2
# At first blocks hand on what they get, and the network its input. The gate starts half open.
_FIRST_SCALE = 0.2
# Of the change, so that one step of the optimiser moves the picture by little.
_CHANGE_SCALE = 0.1
_FLOOR = 1e-6


class VisageRestorer(nn.Module):
    """The network.

    Args:
        widths: features at each resolution, the finest first. Each is half the one before it, so that 512 pixels of
            four widths end in features of 16 by 16.
        blocks: residual blocks at each resolution on the way down, and again on the way up.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(3 * FOLD**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Stage(width, count) for width, count in zip(widths[:-1], blocks[:-1], strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.place = nn.Parameter(torch.zeros(1, widths[-1], *[SIDE // self.unit] * 2))
        self.whole = nn.Linear(widths[-1], widths[-1])
        self.middle = Stage(widths[-1], blocks[-1])
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine * 4, 1) for fine, coarse in steps)
        self.up = nn.ModuleList(Stage(width, count) for width, count in zip(widths[:-1], blocks[:-1], strict=True))
        self.change = nn.Conv2d(widths[0], 3 * FOLD**2, 3, padding=1)
        self.gate = nn.Conv2d(widths[0], 1, 3, padding=1)

    @property
    def unit(self) -> int:
        """Sides of the input must be multiples of this."""
        return FOLD << len(self.shrink)

    def reset(self, generator: torch.Generator) -> VisageRestorer:
        """Draws first weights with which the network hands on its input."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2 or name == "place":
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, _SLOPE, generator=generator)
        for module in self.modules():
            if isinstance(module, Block):
                module.second.weight.data.mul_(_FIRST_SCALE)
        for layer in (self.change, self.gate, self.whole):
            nn.init.zeros_(layer.weight)
        return self

    def forward(self, images: Tensor, corners: Tensor | None = None) -> Tensor:
        """Restores aligned crops.

        Args:
            images: ``[N, 3, H, W]``, RGB, 0..1, sides multiples of :attr:`unit`.
            corners: ``[N, 2]``, whole: for parts of crops, the row and the column of the crop that the part begins
                at, in multiples of :attr:`unit`. ``None``: the parts begin in the top left corner.

        Returns:
            ``[N, 3, H, W]``, about 0..1.
        """
        hidden = self.head(F.pixel_unshuffle(images - 0.5, FOLD))
        kept = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            hidden = stage(hidden)
            kept.append(hidden)
            hidden = shrink(hidden)
        overall = self.whole(hidden.mean(dim=(2, 3)))[..., None, None]
        hidden = self.middle(hidden + self._place(hidden, corners) + overall)
        for stage, grow, beside in zip(reversed(self.up), reversed(self.grow), reversed(kept), strict=True):
            hidden = stage(F.pixel_shuffle(grow(hidden), 2) + beside)
        # A gate on features of any size would shut for good in a few bad steps: a sigmoid far out has no gradient.
        steady = hidden * torch.rsqrt(hidden.square().mean(dim=1, keepdim=True) + _FLOOR)
        gate = torch.sigmoid(self.gate(steady))
        return images + F.pixel_shuffle(gate * (_CHANGE_SCALE * self.change(hidden)), FOLD)

    def _place(self, hidden: Tensor, corners: Tensor | None) -> Tensor:
        height, width = hidden.shape[2:]
        if corners is None:
            return self.place[..., :height, :width]
        return torch.cat([self.place[..., y : y + height, x : x + width] for y, x in corners.tolist()])


class Stage(nn.Sequential):
    """Blocks at one resolution."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__(*(Block(width) for _ in range(count)))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same."""
        changed: Tensor = self.second(F.leaky_relu(self.first(hidden), _SLOPE, inplace=True))
        return hidden + changed
