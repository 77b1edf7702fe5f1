"""The network of VQFR v2 (Gu et al.: VQFR, ECCV 2022; the second version is the authors' of October 2022).

A VQGAN of undamaged faces makes textures from codes that a linear layer predicts; a second decoder warps them to the
damaged face, and its result is added to the textures in a ratio that the user chooses. Names of parameters are those
of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vqgan import Codebook, Downsample, ResidualBlock, Upsample, attention, looked_up, normalisation
from .warping import TextureWarping, level_name

# Channels of each resolution, from the finest to the coarsest, over those of the finest.
_MULTIPLIERS = (1, 2, 2, 4, 4, 8)
_COARSEST = len(_MULTIPLIERS) - 1
_BLOCKS = 2


class VQFRv2(nn.Module):
    """Restores pictures ``[N, 3, S, S]`` in -1..1, ``S`` a multiple of 32; trained at 512. Gives the same shape and
    range, with overshoots."""

    def __init__(
        self, *, channels: int = 64, entries: int = 1024, code_channels: int = 256, face_channels: int = 32
    ) -> None:
        """
        Args:
            channels: at the finest resolution.
            entries: of the codebook.
            code_channels: of an entry.
            face_channels: of the features of the damaged face that textures are compared with.
        """
        super().__init__()
        self.encoder = _Encoder(channels, code_channels)
        self.feat2index = nn.Sequential(nn.LayerNorm(code_channels), nn.Linear(code_channels, entries))
        self.quantizer = Codebook(entries, code_channels)
        self.decoder = _TextureDecoder(channels, code_channels)
        self.main_branch = _MainBranch(channels, face_channels)
        self.inpfeat_extraction = nn.Conv2d(3, face_channels, 3, padding=1)

    def forward(self, images: Tensor, fidelity: float) -> Tensor:
        """Fidelity: 0 for the textures alone, 1 for all of what was warped to the face."""
        features = self.encoder(images)
        logits = self.feat2index(features.movedim(1, -1))
        textures = self.decoder(looked_up(logits.argmax(dim=-1), self.quantizer.embedding.weight))
        painted = textures[0]
        if fidelity > 0:
            painted = painted + fidelity * self.main_branch(textures, self.inpfeat_extraction(images))
        restored: Tensor = self.decoder.conv_out(painted)
        return restored


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        normal = self.norm(features)
        mixed: Tensor = self.proj_out(attention(self.q(normal), self.k(normal), self.v(normal), heads=1))
        return mixed.add_(features)


def _residual(inputs: int, outputs: int) -> ResidualBlock:
    return ResidualBlock(inputs, outputs, shortcut="residual_func")


def _blocks(inputs: int, outputs: int, attends: bool) -> Iterator[nn.Module]:
    for place in range(_BLOCKS):
        yield _residual(outputs if place else inputs, outputs)
        if attends:
            yield _Attention(outputs)


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(_residual(channels, channels), _Attention(channels), _residual(channels, channels))


def _end(channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(normalisation(channels), nn.SiLU(inplace=True), nn.Conv2d(channels, outputs, 3, padding=1))


class _Encoder(nn.Module):
    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(*([Downsample(before)] if level else []), *_blocks(before, width, level == _COARSEST))
                for level, (before, width) in enumerate(zip([channels, *widths[:-1]], widths, strict=True))
            )
        )
        self.mid_blocks = _middle(widths[-1])
        self.conv_out = _end(widths[-1], code_channels)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.conv_out(self.mid_blocks(self.blocks(self.conv_in(images))))
        return features


class _TextureDecoder(nn.Module):
    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.conv_in = nn.Conv2d(code_channels, widths[-1], 3, padding=1)
        self.mid_blocks = _middle(widths[-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *([Upsample(before)] if level != _COARSEST else []), *_blocks(before, width, level == _COARSEST)
            )
            for level, (before, width) in reversed(list(enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))))
        )
        self.conv_out = _end(channels, 3)

    def forward(self, codes: Tensor) -> list[Tensor]:
        """The textures of every resolution, the finest first."""
        features = self.mid_blocks(self.conv_in(codes))
        textures: list[Tensor] = []
        for level in self.blocks:
            features = level(features)
            textures.insert(0, features)
        return textures


class _MainBranch(nn.Module):
    """Warps the textures of every resolution to the face and joins them, from the coarsest to the finest."""

    def __init__(self, channels: int, face_channels: int) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.align_func_dict = nn.ModuleDict()
        self.pre_upsample_dict = nn.ModuleDict()
        self.decoder_dict = nn.ModuleDict()
        for level, (before, width) in enumerate(zip([*widths[1:], 0], widths, strict=True)):
            self.align_func_dict[level_name(level)] = TextureWarping(width, face_channels, before)
            if level != _COARSEST:
                self.pre_upsample_dict[level_name(level)] = nn.Sequential(
                    nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(before, width, 3, padding=1)
                )
                self.decoder_dict[level_name(level)] = _residual(2 * width, width)

    def forward(self, textures: list[Tensor], face: Tensor) -> Tensor:
        """Textures, the finest first, and features of the face at the finest resolution."""
        painted, guide = self._warped(_COARSEST, textures, face, None)
        for level in reversed(range(_COARSEST)):
            name = level_name(level)
            warped, guide = self._warped(level, textures, face, guide)
            enlarged = self.pre_upsample_dict[name](painted)
            painted = self.decoder_dict[name](torch.cat([enlarged, warped], dim=1))
        return painted

    def _warped(self, level: int, textures: list[Tensor], face: Tensor, guide: Tensor | None) -> tuple[Tensor, Tensor]:
        texture = textures[level]
        seen = F.interpolate(face, size=texture.shape[2:], mode="bilinear") if level else face
        found: tuple[Tensor, Tensor] = self.align_func_dict[level_name(level)](texture, seen, guide)
        return found
