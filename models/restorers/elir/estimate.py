"""The first guess of ELIR: dense residual blocks (ESRGAN, Wang et al. 2018) over the latents of a damaged face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Share of every residual that is added (the value of ESRGAN).
_SHARE = 0.2


class _Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, activated: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU(inplace=True) if activated else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class _Dense(nn.Module):
    """Five convolutions, each over all that came before."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _Layer(channels, growth, activated=True)
        self.conv2 = _Layer(channels + growth, growth, activated=True)
        self.conv3 = _Layer(channels + 2 * growth, growth, activated=True)
        self.conv4 = _Layer(channels + 3 * growth, growth, activated=True)
        self.conv5 = _Layer(channels + 4 * growth, channels, activated=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, layer(seen)], dim=1)
        return torch.add(x, self.conv5(seen), alpha=_SHARE)


class _Group(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = _Dense(channels, growth)
        self.RDB2 = _Dense(channels, growth)
        self.RDB3 = _Dense(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.RDB3(self.RDB2(self.RDB1(x))), alpha=_SHARE)


class Estimate(nn.Module):
    """Latents of the mean of all faces that fit, ``[N, C, H, W]`` to the same."""

    def __init__(self, channels: int, growth: int, groups: int) -> None:
        super().__init__()
        self.lrm = nn.Sequential(*(_Group(channels, growth) for _ in range(groups)))

    def forward(self, latents: Tensor) -> Tensor:
        change: Tensor = self.lrm(latents)
        return latents + change
