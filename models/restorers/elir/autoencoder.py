"""The tiny autoencoder of ELIR, as madebyollin's TAESD 3 (https://github.com/madebyollin/taesd): eight pixels a side
to one place of 16 numbers, and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTH = 64
# The decoder bends what goes beyond this many units back.
_LIMIT = 3


def _convolution(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _convolution(_WIDTH, _WIDTH),
            nn.ReLU(inplace=True),
            _convolution(_WIDTH, _WIDTH),
            nn.ReLU(inplace=True),
            _convolution(_WIDTH, _WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x).add_(x), inplace=True)


def _blocks(count: int) -> list[nn.Module]:
    return [_Block() for _ in range(count)]


class Encoder(nn.Module):
    """``[N, 3, H, W]`` of 0..1 to ``[N, latent, H / 8, W / 8]``."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, _WIDTH), *_blocks(1)]
        for _ in range(3):
            layers += [_convolution(_WIDTH, _WIDTH, stride=2, bias=False), *_blocks(3)]
        self.layers = nn.Sequential(*layers, _convolution(_WIDTH, latent))

    def forward(self, images: Tensor) -> Tensor:
        latents: Tensor = self.layers(images)
        return latents


class Decoder(nn.Module):
    """``[N, latent, H / 8, W / 8]`` to ``[N, 3, H, W]`` of about 0..1."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(latent, _WIDTH), nn.ReLU(inplace=True)]
        for _ in range(3):
            layers += [*_blocks(3), nn.Upsample(scale_factor=2), _convolution(_WIDTH, _WIDTH, bias=False)]
        self.layers = nn.Sequential(*layers, *_blocks(1), _convolution(_WIDTH, 3))

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.tanh(latents / _LIMIT) * _LIMIT)
        return images
