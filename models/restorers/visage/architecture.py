"""The built-in restorer: a U-Net whose finest features lie at a quarter of the picture's resolution.

It adds to the input what it thinks is missing. Pixels are folded into channels (Shi et al., "Real-Time Single Image and
Video Super-Resolution", 2016) on the way in and out. Blocks multiply halves of their features instead of bending them
with a function (Chen et al., "Simple Baselines for Image Restoration", 2022); of all that was tried they learn most
from few pictures. A mean over the whole crop tells all places how bad it is. Faces lie at the same place in every crop:
a learned map of that place stands beside the coarsest features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bands import SIGMAS, bands

FOLD = 4
"""Side of the square of pixels that becomes one place of the finest features."""
SIDE = 512
"""Side of the aligned crop in pixels."""

# At first blocks hand on most of what they get, and the network its input.
_FIRST_SCALE = 0.2
_FIRST_ATTENTION = 0.1
# Of the change, so that one step of the optimiser moves the picture by little.
_CHANGE_SCALE = 0.1
_FLOOR = 1e-6
# No band is made more than three times as strong, or less than a third.
_MOST_LOG_GAIN = math.log(3)


class VisageRestorer(nn.Module):
    """The network.

    Args:
        widths: features at each resolution, the finest first. Each is half the one before it, so that 512 pixels of
            four widths end in features of 16 by 16.
        blocks: blocks at each resolution on the way down, and again on the way up; the last are in the middle.
        normed: with norms between the resolutions. Without them features grow from one to the next until those that
            are kept for the way up are lost beside them; such a network learns little from first weights, and only at
            low rates. It is how the first ones were made.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], normed: bool = True) -> None:
        super().__init__()
        steps = list(itertools.pairwise(widths))
        norm = ChannelNorm if normed else nn.Identity
        self.head = nn.Conv2d(3 * FOLD**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Stage(width, count) for width, count in zip(widths[:-1], blocks[:-1], strict=True))
        self.shrink_norm = nn.ModuleList(norm(fine) for fine, _ in steps)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.place = nn.Parameter(torch.zeros(1, widths[-1], *[SIDE // self.unit] * 2))
        self.whole = nn.Linear(widths[-1], widths[-1])
        self.middle = Stage(widths[-1], blocks[-1])
        self.grow_norm = nn.ModuleList(norm(coarse) for _, coarse in steps)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine * 4, 1) for fine, coarse in steps)
        self.up = nn.ModuleList(Stage(width, count) for width, count in zip(widths[:-1], blocks[:-1], strict=True))
        self.last = ChannelNorm(widths[0])
        self.change = nn.Conv2d(widths[0], 3 * FOLD**2, 3, padding=1)
        self.gain = nn.Conv2d(widths[0], len(SIGMAS), 3, padding=1)

    @property
    def unit(self) -> int:
        """Sides of the input must be multiples of this."""
        return FOLD << len(self.shrink)

    def reset(self, generator: torch.Generator) -> VisageRestorer:
        """Draws first weights with which the network hands on its input."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for module in self.modules():
            if isinstance(module, Block):
                module.gather.weight.data.mul_(_FIRST_SCALE)
                module.narrow.weight.data.mul_(_FIRST_SCALE)
                module.attend.weight.data.mul_(_FIRST_ATTENTION)
                nn.init.ones_(module.attend.bias)  # type: ignore[arg-type]
        for layer in (self.change, self.whole, self.gain):
            nn.init.zeros_(layer.weight)
        return self

    def forward(self, images: Tensor, amount: float = 0.0) -> Tensor:
        """Restores aligned crops.

        The likeliest crop is smooth where little is sure: the less sure a band of fine detail, the fainter it is
        painted, which makes skin look like plastic. The network also tells, for each place and band, how much stronger
        the band should be where it is right.

        Args:
            images: ``[N, 3, H, W]``, RGB, 0..1, sides multiples of :attr:`unit`.
            amount: 0 for the likeliest crop; 1 for the gain that was learned, 2 for its square.

        Returns:
            ``[N, 3, H, W]``, about 0..1.
        """
        likely, log_gains = self.seen_twice(images)
        if amount == 0:
            return likely
        gains = F.interpolate(log_gains, scale_factor=FOLD, mode="bilinear", align_corners=False)
        missing = torch.expm1(gains * amount) * torch.cat(bands(likely), 1)
        return likely + missing.sum(1, keepdim=True)

    def seen_twice(self, images: Tensor, corners: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Means of what is seen in crops and in their mirror images: their errors are partly different ones.

        (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017, section 3.4, where all
        eight symmetries of a picture are taken; faces have one.)

        Args:
            corners: ``[N, 2]``, whole: for parts of crops, the row and the column of the crop that the part begins
                at, in multiples of :attr:`unit`. ``None``: the parts begin in the top left corner of whole crops.

        Returns:
            The likeliest crops, as ``images``, and :meth:`log_gains`.
        """
        beyond = None
        if corners is not None:
            beyond = torch.stack([corners[:, 0], (SIDE - images.shape[3]) // self.unit - corners[:, 1]], 1)
        likely, features = self.likeliest(images, corners)
        mirrored, mirrored_features = self.likeliest(images.flip(-1), beyond)
        gains = self.log_gains(features) + self.log_gains(mirrored_features).flip(-1)
        return (likely + mirrored.flip(-1)) / 2, gains / 2

    def likeliest(self, images: Tensor, corners: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What is seen at once, and the features that :meth:`log_gains` takes; arguments as of :meth:`seen_twice`."""
        features = self._features(images, corners)
        return images + F.pixel_shuffle(_CHANGE_SCALE * self.change(features), FOLD), features

    def log_gains(self, features: Tensor) -> Tensor:
        """Logarithms of the gain of each of :func:`.bands.bands`: ``[N, 3, H / 4, W / 4]``."""
        gains: Tensor = self.gain(features)
        return gains.clamp(-_MOST_LOG_GAIN, _MOST_LOG_GAIN)

    def _features(self, images: Tensor, corners: Tensor | None) -> Tensor:
        """``[N, widths[0], H / 4, W / 4]``: what is known of each place in the end."""
        hidden = self.head(F.pixel_unshuffle(images - 0.5, FOLD))
        kept = []
        for stage, norm, shrink in zip(self.down, self.shrink_norm, self.shrink, strict=True):
            hidden = stage(hidden)
            kept.append(hidden)
            hidden = shrink(norm(hidden))
        overall = self.whole(hidden.mean(dim=(2, 3)))[..., None, None]
        hidden = self.middle(hidden + self._place(hidden, corners) + overall)
        upwards = zip(*(reversed(parts) for parts in (self.up, self.grow_norm, self.grow, kept)), strict=True)
        for stage, norm, grow, beside in upwards:
            hidden = stage(F.pixel_shuffle(grow(norm(hidden)), 2) + beside)
        features: Tensor = self.last(hidden)
        return features

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
    """Looks around each place, then mixes the channels of each place, both beside a shortcut.

    The block of NAFNet, its two shortcuts without the learned scales.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look_norm = ChannelNorm(width)
        self.spread = nn.Conv2d(width, 2 * width, 1)
        self.look = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attend = nn.Conv2d(width, width, 1)
        self.gather = nn.Conv2d(width, width, 1)
        self.mix_norm = ChannelNorm(width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same."""
        seen = _gated(self.look(self.spread(self.look_norm(hidden))))
        seen = seen * self.attend(seen.mean(dim=(2, 3), keepdim=True))
        hidden = hidden + self.gather(seen)
        mixed: Tensor = self.narrow(_gated(self.widen(self.mix_norm(hidden))))
        return hidden + mixed


def _gated(hidden: Tensor) -> Tensor:
    first, second = hidden.chunk(2, dim=1)
    return first * second


class ChannelNorm(nn.Module):
    """Normalises the channels of each place (Ba et al., "Layer Normalization", 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same, the channels last in memory."""
        places = hidden.permute(0, 2, 3, 1)
        return F.layer_norm(places, self.weight.shape, self.weight, self.bias, _FLOOR).permute(0, 3, 1, 2)
