"""The velocity of ELIR's flow: a small U-Net over latents that is told the time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

# Times of 0..1 are spread over this range before their waves are taken, whose lengths reach up to the second number.
_TIME_SCALE, _LONGEST = 1000, 10000


def time_waves(time: float, size: int, device: torch.device) -> Tensor:
    """The time as ``size`` numbers, cosines before sines, ``[1, size]`` in fp32."""
    half = size // 2
    lengths = torch.exp(torch.arange(half, device=device) * (-math.log(_LONGEST) / (half - 1)))
    angles = _TIME_SCALE * time * lengths
    return torch.cat([angles.cos(), angles.sin()])[None]


class _TimeNet(nn.Module):
    def __init__(self, waves: int, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(waves, width)
        self.act = nn.SiLU()
        self.linear2 = nn.Linear(width, width)

    def forward(self, waves: Tensor) -> Tensor:
        out: Tensor = self.linear2(self.act(self.linear1(waves)))
        return out


class _Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(32, inputs), nn.SiLU(inplace=True), nn.Conv2d(inputs, outputs, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, outputs))
        self.block1 = _Layer(inputs, outputs)
        self.block2 = _Layer(outputs, outputs)
        self.conv2d = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        inner = self.block1(x).add_(self.mlp(time)[..., None, None])
        out: Tensor = self.block2(inner).add_(self.conv2d(x))
        return out


class _Smaller(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _Larger(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convtr = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convtr(x)
        return out


class Flow(nn.Module):
    """The U-Net.

    Args:
        latent: channels of the latents.
        width: channels of the first level.
        multiples: of the channels from level to level; where it is not 1, the sides shrink by half.
        middle: blocks at the smallest size.
        waves: numbers that stand for the time.
    """

    def __init__(self, latent: int, width: int, multiples: Sequence[int], middle: int, waves: int) -> None:
        super().__init__()
        time = 4 * waves
        self.time_mlp = _TimeNet(waves, time)
        self.first_proj = nn.Conv2d(latent, width, 1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        channels = width
        for multiple in multiples:
            smaller = _Smaller(channels, multiple * channels) if multiple != 1 else nn.Identity()
            self.down_blocks.append(nn.ModuleList([_Residual(channels, channels, time), smaller]))
            channels *= multiple
        self.mid_blocks = nn.ModuleList(_Residual(channels, channels, time) for _ in range(middle))
        for multiple in reversed(multiples):
            larger = _Larger(channels, channels // multiple) if multiple != 1 else nn.Identity()
            channels //= multiple
            self.up_blocks.append(nn.ModuleList([larger, _Residual(2 * channels, channels, time)]))
        self.final_block = _Layer(channels, channels)
        self.final_proj = nn.Conv2d(channels, latent, 1)

    def forward(self, latents: Tensor, waves: Tensor) -> Tensor:
        time = self.time_mlp(waves)
        x = self.first_proj(latents)
        kept: list[Tensor] = []
        for block, smaller in _pairs(self.down_blocks):
            x = block(x, time)
            kept.append(x)
            x = smaller(x)
        for block in self.mid_blocks:
            x = block(x, time)
        for larger, block in _pairs(self.up_blocks):
            x = block(torch.cat([larger(x), kept.pop()], dim=1), time)
        velocity: Tensor = self.final_proj(self.final_block(x))
        return velocity


def _pairs(levels: nn.ModuleList) -> Iterator[tuple[nn.Module, nn.Module]]:
    for level in levels:
        first, second = cast(nn.ModuleList, level)
        yield first, second
