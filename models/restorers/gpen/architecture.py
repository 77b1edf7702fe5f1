"""GPEN (Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", 2021).

An encoder takes the face apart down to 4x4 pixels. What it leaves there becomes the style of a StyleGAN2 generator,
and what it has at every size on the way is given to that generator beside its own features, in the place where
StyleGAN2 adds noise. So nothing is drawn at random: the same face gives the same pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import GAIN, SLOPE, STYLE_RATE, Bias, ConvLayer, EqualLinear, ModulatedConv2d, Smoothing


class Gpen(nn.Module):
    """The network, with the names of the authors' files.

    Args:
        channels: features at 4x4 pixels, at 8x8, and so on up to the size of the pictures.
        style: length of the style.
        depth: layers of the style network.
    """

    def __init__(self, channels: Sequence[int], style: int = 512, depth: int = 8) -> None:
        super().__init__()
        self.stages = len(channels)
        downwards = list(channels)[::-1]
        self.ecd0 = nn.Sequential(ConvLayer(3, downwards[0], 1))
        for stage in range(1, self.stages):
            self.add_module(f"ecd{stage}", nn.Sequential(ConvLayer(downwards[stage - 1], downwards[stage], 3)))
        self.final_linear = nn.Sequential(EqualLinear(channels[0] * 4 * 4, style, activated=True))
        self.generator = Generator(channels, style, depth)

    def forward(self, images: Tensor) -> Tensor:
        """Restores ``[N, 3, S, S]`` in -1..1, with ``S = 4 * 2 ** (len(channels) - 1)``; overshoots a little."""
        features = [images]
        for stage in range(self.stages):
            features.append(self.get_submodule(f"ecd{stage}")(features[-1]))
        style = self.final_linear(features[-1].flatten(1))
        restored: Tensor = self.generator(style, features[:0:-1])
        return restored


class Generator(nn.Module):
    """StyleGAN2 with features of another network in the place of noise. Arguments as :class:`Gpen`."""

    def __init__(self, channels: Sequence[int], style: int, depth: int) -> None:
        super().__init__()
        self.style = nn.Sequential(
            PixelNorm(), *(EqualLinear(style, style, STYLE_RATE, activated=True) for _ in range(depth))
        )
        self.input = ConstantInput(channels[0])
        self.conv1 = StyledConv(channels[0], channels[0], style)
        self.to_rgb1 = ToRGB(2 * channels[0], style, doubles=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for before, after in itertools.pairwise(channels):
            self.convs.append(StyledConv(2 * before, after, style, doubles=True))
            self.convs.append(StyledConv(2 * after, after, style))
            self.to_rgbs.append(ToRGB(2 * after, style, doubles=True))

    def forward(self, code: Tensor, features: Sequence[Tensor]) -> Tensor:
        """A picture ``[N, 3, S, S]`` from a code ``[N, style]`` and features ``[N, C, H, H]`` from small to large."""
        style = self.style(code)
        hidden = self.conv1(self.input.input.expand(len(code), -1, -1, -1), style, features[0])
        picture: Tensor = self.to_rgb1(hidden, style, None)
        pairs = zip(self.convs[::2], self.convs[1::2], self.to_rgbs, features[1:], strict=True)
        for enlarge, refine, to_rgb, feature in pairs:
            hidden = refine(enlarge(hidden, style, feature), style, feature)
            picture = to_rgb(hidden, style, picture)
        return picture


class PixelNorm(nn.Module):
    """Brings a code ``[N, style]`` to a mean square of one."""

    def forward(self, code: Tensor) -> Tensor:
        exact = code.float()
        return (exact * torch.rsqrt(exact.square().mean(1, keepdim=True) + 1e-8)).to(code.dtype)


class ConstantInput(nn.Module):
    """Holds what the generator begins with, ``[1, C, 4, 4]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(1, channels, 4, 4))


class Strength(nn.Module):
    """Holds how much the features of the encoder count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class StyledConv(nn.Module):
    """A modulated convolution, the features of the encoder beside its output, and a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style: int, doubles: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, doubles)
        self.noise = Strength()
        self.activate = Bias(2 * outputs)

    def forward(self, hidden: Tensor, style: Tensor, feature: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` and features ``[N, outputs, H', W']`` to ``[N, 2 * outputs, H', W']``."""
        own, given = (self.activate.bias * GAIN).chunk(2)
        convolved = self.conv(hidden, style, own, GAIN)
        beside = torch.addcmul(given[:, None, None], feature, self.noise.weight * GAIN)
        return F.leaky_relu_(torch.cat((convolved, beside), dim=1), SLOPE)


class ToRGB(nn.Module):
    """Adds what features say in red, green and blue to an enlargement of the picture so far."""

    def __init__(self, inputs: int, style: int, doubles: bool) -> None:
        super().__init__()
        self.upsample = Smoothing(gain=4.0) if doubles else None
        self.conv = ModulatedConv2d(inputs, 3, 1, style, demodulated=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, hidden: Tensor, style: Tensor, picture: Tensor | None) -> Tensor:
        """``[N, inputs, H, W]`` and a picture ``[N, 3, H / 2, W / 2]`` or none to a picture ``[N, 3, H, W]``."""
        output: Tensor = self.conv(hidden, style, self.bias.flatten())
        return output if self.upsample is None or picture is None else output + self.upsample.doubled(picture)
