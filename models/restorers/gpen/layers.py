"""The layers of StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020) in torch.

Two things are computed in another order than they are written down, for speed: gains and biases go into the weights
of the convolution before them, and a batch is scaled by its styles before and after a convolution that all of it
shares, instead of being convolved with weights of its own each. The results differ in rounding alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
# After a leaky ReLU with that slope, what went in with a variance of one would come out with one of about a half.
GAIN = math.sqrt(2)
# The learning rate of the style network was lowered by this factor, which its weights are stored without.
STYLE_RATE = 0.01


class Smoothing(nn.Module):
    """A 4x4 filter against aliasing, kept with the weights as ``kernel``: [1, 3, 3, 1] in both directions.

    Args:
        gain: sum of the kernel; 4 where zeros were put between the pixels.
    """

    kernel: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", gain * taps[:, None] * taps)

    def forward(self, images: Tensor, padding: int, bias: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` to ``[N, C, H + 2 * padding - 3, W + 2 * padding - 3]``, with zeros around."""
        channels = images.shape[1]
        return F.conv2d(images, self._kernels(channels).flip(2, 3), bias, padding=padding, groups=channels)

    def doubled(self, images: Tensor) -> Tensor:
        """Enlarges ``[N, C, H, W]`` to ``[N, C, 2 * H, 2 * W]``."""
        channels = images.shape[1]
        return F.conv_transpose2d(images, self._kernels(channels), stride=2, padding=1, groups=channels)

    def _kernels(self, channels: int) -> Tensor:
        return self.kernel.expand(channels, 1, 4, 4)


class Bias(nn.Module):
    """Holds the bias of an activation where the files have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class EqualLinear(nn.Module):
    """A linear layer whose weights are stored with a variance of one.

    Args:
        rate: that of the learning rate, see :data:`STYLE_RATE`.
        activated: a leaky ReLU follows.
    """

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, activated: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.rate = rate
        self.activated = activated

    def forward(self, values: Tensor) -> Tensor:
        """``[N, inputs]`` to ``[N, outputs]``."""
        gain = GAIN if self.activated else 1.0
        scale = gain * self.rate / math.sqrt(self.weight.shape[1])
        output = F.linear(values * scale, self.weight, self.bias * (gain * self.rate))
        return F.leaky_relu(output, SLOPE) if self.activated else output


class EqualConv2d(nn.Module):
    """Holds the weights of a convolution, stored with a variance of one."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))

    def scaled(self, gain: float) -> Tensor:
        """The weights to be used, times ``gain``."""
        return self.weight * (gain / math.sqrt(self.weight[0].numel()))


class ConvLayer(nn.Sequential):
    """A convolution and a leaky ReLU. One of 3x3 halves the sides after smoothing; one of 1x1 keeps them."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        smoothing = Smoothing() if kernel == 3 else None
        convolution, activation = EqualConv2d(inputs, outputs, kernel), Bias(outputs)
        # The files number them.
        super().__init__(*(layer for layer in (smoothing, convolution, activation) if layer is not None))
        self._named = smoothing, convolution, activation

    def forward(self, images: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``, or half of that."""
        smoothing, convolution, activation = self._named
        weight, bias = convolution.scaled(GAIN), activation.bias * GAIN
        if smoothing is not None:
            images = smoothing(images, padding=2)
        return F.leaky_relu_(F.conv2d(images, weight, bias, stride=1 if smoothing is None else 2), SLOPE)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are weighted by a style.

    Args:
        style: length of the style.
        doubles: the output has twice the sides.
        demodulated: every output channel is brought back to a variance of one.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style: int, doubles: bool = False, demodulated: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style, inputs)
        self.blur = Smoothing(gain=4.0) if doubles else None
        self.demodulated = demodulated

    def forward(self, images: Tensor, style: Tensor, bias: Tensor, gain: float = 1.0) -> Tensor:
        """Convolves ``[N, inputs, H, W]`` in the styles ``[N, style]``, times ``gain``, plus ``bias`` ``[outputs]``."""
        weight = self.weight[0]
        inner = self.modulation(style) / math.sqrt(weight[0].numel())
        if len(images) == 1:
            weight = weight * inner[0, :, None, None]
            weight *= self._outer(torch.linalg.vector_norm(weight.float(), dim=(1, 2, 3)), gain)[:, None, None, None]
            return self._convolved(images, weight, bias)
        lengths = torch.linalg.vector_norm(weight.float(), dim=(2, 3))
        outer = self._outer((inner.float().square() @ lengths.square().T).sqrt(), gain)
        output = self._convolved(images * inner[..., None, None], weight, None)
        return torch.addcmul(bias[:, None, None], output, outer.to(output.dtype)[..., None, None])

    def _outer(self, lengths: Tensor, gain: float) -> Tensor:
        """What the outputs are to be multiplied by, from the lengths of their weights after styling."""
        return gain * torch.rsqrt(lengths.square() + 1e-8) if self.demodulated else torch.full_like(lengths, gain)

    def _convolved(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.blur is None:
            return F.conv2d(images, weight, bias, padding=weight.shape[-1] // 2)
        # One row and column too many on each side, which the filter eats.
        smoothed: Tensor = self.blur(F.conv_transpose2d(images, weight.transpose(0, 1), stride=2), 1, bias)
        return smoothed
