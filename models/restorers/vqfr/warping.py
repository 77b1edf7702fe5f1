"""Textures from the codebook, moved to where the features of the damaged face are: what both VQFR have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vqgan import normalisation

_GROUPS = 4
_TAPS = 9


def level_name(level: int) -> str:
    """What the authors call a resolution, counted from the finest."""
    return f"Level_{2**level}"


class DeformableConvolution(nn.Module):
    """Modulated deformable convolution of 3x3 (Zhu et al.: Deformable ConvNets v2, CVPR 2019) that looks where other
    features tell it to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(channels))
        # For each group and tap: rows, columns, and how much of what is found there counts.
        self.conv_offset = nn.Conv2d(channels, _GROUPS * _TAPS * 3, 3, padding=1)

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Features and what tells the offsets, both ``[N, C, H, W]``."""
        from torchvision.ops import deform_conv2d

        offsets, modulation = self.conv_offset(guide).split([_GROUPS * _TAPS * 2, _GROUPS * _TAPS], dim=1)
        # In fp32, which all devices have it in.
        convolved: Tensor = deform_conv2d(
            features.float(),
            offsets.float(),
            self.weight.float(),
            self.bias.float(),
            padding=1,
            mask=modulation.float().sigmoid_(),
        )
        return convolved.to(features.dtype)


class TextureWarping(nn.Module):
    """Warps a texture after comparing it with the features of the damaged face."""

    def __init__(self, channels: int, face_channels: int, previous_channels: int) -> None:
        """
        Args:
            channels: of the texture.
            face_channels: of the features of the face.
            previous_channels: of the guide from the resolution below; 0 where there is none.
        """
        super().__init__()
        self.offset_conv1 = nn.Sequential(
            nn.Conv2d(channels + face_channels, channels, 1),
            normalisation(channels),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            normalisation(channels),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
        )
        self.offset_conv2 = nn.Sequential(
            nn.Conv2d(channels + previous_channels, channels, 3, padding=1),
            normalisation(channels),
            nn.SiLU(inplace=True),
        )
        self.dcn = DeformableConvolution(channels)

    def forward(self, texture: Tensor, face: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """
        Args:
            texture: ``[N, C, H, W]``.
            face: features of the damaged face at the same resolution.
            previous: the guide from the resolution below, of half the sides.

        Returns:
            The warped texture, and the guide for the next resolution.
        """
        guide = self.offset_conv1(torch.cat([face, texture], dim=1))
        if previous is not None:
            # Twice the size is twice the distance.
            enlarged = F.interpolate(previous, scale_factor=2, mode="bilinear").mul_(2)
            guide = torch.cat([guide, enlarged], dim=1)
        guide = self.offset_conv2(guide)
        return self.dcn(texture, guide), guide
