"""GFPGAN, the "clean" network of its versions 1.2 to 1.4: a U-Net whose features steer a StyleGAN2.

After Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021, and Karras et
al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020. Names of parameters are those of the authors'
checkpoints (https://github.com/TencentARC/GFPGAN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The authors' values.
_SLOPE = 0.2
_EPSILON = 1e-8


def _activated(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


def _halved(x: Tensor) -> Tensor:
    # The same as bilinear resampling by a half, and quicker.
    return F.avg_pool2d(x, 2)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class _Block(nn.Module):
    """Two convolutions with a change of size between them, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)


class _Down(_Block):
    def forward(self, x: Tensor) -> Tensor:
        straight = self.skip(_halved(x))
        return _activated(self.conv2(_halved(_activated(self.conv1(x))))).add_(straight)


class _Up(_Block):
    def forward(self, x: Tensor) -> Tensor:
        # Mixing the channels of a pixel and resampling may change places: here it is done on a quarter of the pixels.
        straight = _doubled(self.skip(x))
        return _activated(self.conv2(_doubled(_activated(self.conv1(x))))).add_(straight)


class _Modulated(nn.Module):
    """A convolution whose input channels are scaled by a style.

    The reference builds weights for every picture and convolves in groups, one group a picture. Scaling what goes in
    and what comes out instead leaves one ordinary convolution for the whole batch.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, outputs, inputs, kernel, kernel))
        self.modulation = nn.Linear(style, inputs)


class _Demodulated(_Modulated):
    """Brought back to unit variance per output channel, times the root of 2 that makes up for the activation."""

    def forward(self, x: Tensor, style: Tensor, bias: Tensor, *, enlarge: bool) -> Tensor:
        """``[N, I, H, W]`` to ``[N, O, H, W]``, or to twice the size; ``bias`` is ``[1, O, 1, 1]``."""
        weight, scale = self.weight[0], self.modulation(style)
        energy = scale.float().square() @ weight.float().square().sum(dim=(2, 3)).T
        gain = (math.sqrt(2) * torch.rsqrt(energy + _EPSILON)).to(x.dtype)
        if len(x) == 1 and x.dtype == torch.float32:
            # The weights of one picture are fewer numbers than its features. Rounded to less they would not be those of
            # a batch any more, and a face would look otherwise alone than among others.
            weight = weight * gain.view(-1, 1, 1, 1) * scale.view(1, -1, 1, 1)
            return F.conv2d(_doubled(x) if enlarge else x, weight, bias.flatten(), padding=1)
        x = x * scale[..., None, None]
        out = F.conv2d(_doubled(x) if enlarge else x, weight, padding=1)
        return out.mul_(gain[..., None, None]).add_(bias)


class _ToPicture(_Modulated):
    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[N, I, H, W]`` to ``[N, 3, H, W]``."""
        weight = self.weight[0, :, :, 0, 0] * self.modulation(style)[:, None]
        painted: Tensor = (weight @ x.flatten(2)).unflatten(2, x.shape[2:])
        return painted


class _StyleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, style: int, *, enlarge: bool) -> None:
        super().__init__()
        self.modulated_conv = _Demodulated(inputs, outputs, 3, style)
        # Strength of the noise.
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self._enlarge = enlarge

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.modulated_conv(x, style, self.bias, enlarge=self._enlarge)
        return _activated(x.add_(self.weight * noise))


class _ToRgb(nn.Module):
    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.modulated_conv = _ToPicture(inputs, 3, 1, style)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        painted: Tensor = self.modulated_conv(x, style).add_(self.bias)
        return painted


class _Constant(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, 4, 4))


class _Noises(nn.Module):
    def __init__(self, levels: int) -> None:
        super().__init__()
        for index in range(2 * levels - 1):
            size = 4 << (index + 1) // 2
            self.register_buffer(f"noise{index}", torch.zeros(1, 1, size, size))

    def __getitem__(self, index: int) -> Tensor:
        return self.get_buffer(f"noise{index}")


class _Decoder(nn.Module):
    """The StyleGAN2 whose features are scaled and shifted by those of the U-Net."""

    def __init__(self, widths: Sequence[int], style: int) -> None:
        super().__init__()
        self.constant_input = _Constant(widths[0])
        self.style_conv1 = _StyleConv(widths[0], widths[0], style, enlarge=False)
        self.to_rgb1 = _ToRgb(widths[0], style)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            self.style_convs.append(_StyleConv(inputs, outputs, style, enlarge=True))
            self.style_convs.append(_StyleConv(outputs, outputs, style, enlarge=False))
            self.to_rgbs.append(_ToRgb(outputs, style))
        self.noises = _Noises(len(widths))

    def forward(self, styles: Tensor, conditions: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """
        Args:
            styles: ``[N, 2 * levels, style]``.
            conditions: scale and shift for the second half of the channels, from 8 pixels upwards.
        """
        x = self.constant_input.weight.expand(len(styles), -1, -1, -1)
        x = self.style_conv1(x, styles[:, 0], self.noises[0])
        picture: Tensor = self.to_rgb1(x, styles[:, 1])
        for level, (scale, shift) in enumerate(conditions):
            at = 2 * level + 1
            x = self.style_convs[2 * level](x, styles[:, at], self.noises[at])
            x[:, x.shape[1] // 2 :].mul_(scale).add_(shift)
            x = self.style_convs[2 * level + 1](x, styles[:, at + 1], self.noises[at + 1])
            picture = _doubled(picture).add_(self.to_rgbs[level](x, styles[:, at + 2]))
        return picture


class GFPGAN(nn.Module):
    """The network. Pictures are -1..1; the result overshoots.

    Args:
        widths: channels of the decoder at 4, 8, 16, ... pixels up to the size of the picture. The U-Net has half.
        style: numbers in a style.
    """

    def __init__(self, widths: Sequence[int] = (512, 512, 512, 512, 512, 256, 128, 64), style: int = 512) -> None:
        super().__init__()
        halves = [width // 2 for width in widths]
        steps = list(pairwise(halves))
        self.conv_body_first = nn.Conv2d(3, halves[-1], 1)
        self.conv_body_down = nn.ModuleList(_Down(fine, coarse) for coarse, fine in reversed(steps))
        self.final_conv = nn.Conv2d(halves[0], halves[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(_Up(coarse, fine) for coarse, fine in steps)
        self._styles = 2 * len(widths)
        self.final_linear = nn.Linear(halves[0] * 4 * 4, self._styles * style)
        self.condition_scale = nn.ModuleList(_two_convolutions(width) for width in halves[1:])
        self.condition_shift = nn.ModuleList(_two_convolutions(width) for width in halves[1:])
        self.stylegan_decoder = _Decoder(widths, style)

    def forward(self, images: Tensor) -> Tensor:
        """Restores ``[N, 3, S, S]`` of the size that ``widths`` says, with the noise stored among the weights."""
        x = _activated(self.conv_body_first(images))
        kept: list[Tensor] = []
        for down in self.conv_body_down:
            x = down(x)
            kept.append(x)
        x = _activated(self.final_conv(x))
        styles = self.final_linear(x.flatten(1)).unflatten(1, (self._styles, -1))
        conditions: list[tuple[Tensor, Tensor]] = []
        for up, scale, shift in zip(self.conv_body_up, self.condition_scale, self.condition_shift, strict=True):
            x = up(x + kept.pop())
            conditions.append((scale(x), shift(x)))
        restored: Tensor = self.stylegan_decoder(styles, conditions)
        return restored


def _two_convolutions(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(_SLOPE, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
    )
