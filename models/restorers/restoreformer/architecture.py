"""The network of RestoreFormer and RestoreFormer++.

A VQGAN whose decoder looks at the features of the damaged face through attention: the query comes from the encoder,
key and value from the decoder, which knows nothing but entries of a codebook of undamaged faces. Wang et al.:
RestoreFormer, CVPR 2022; RestoreFormer++, TPAMI 2023. Names of parameters are those of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..vqgan import Codebook, Downsample, ResidualBlock, Upsample, attention, normalisation

# Channels of each resolution, from the finest to the coarsest, over those of the finest.
_MULTIPLIERS = (1, 2, 2, 4, 4, 8)
_COARSEST = len(_MULTIPLIERS) - 1
_ENCODER_BLOCKS = 2
_DECODER_BLOCKS = 3


class RestoreFormer(nn.Module):
    """Restores pictures ``[N, 3, S, S]`` in -1..1, ``S`` a multiple of 32; trained at 512. Gives the same shape and
    range, with overshoots."""

    def __init__(
        self,
        *,
        heads: int,
        attended: Sequence[int],
        channels: int = 64,
        entries: int = 1024,
        code_channels: int = 256,
    ) -> None:
        """
        Args:
            heads: of every attention: 8 in RestoreFormer, 4 in RestoreFormer++.
            attended: resolutions of the decoder with attention, counted from the finest: 5 (a 32nd of the side) in
                both, 4 in RestoreFormer++ as well.
            channels: at the finest resolution.
            entries: of the codebook.
            code_channels: of an entry.
        """
        super().__init__()
        self.encoder = _Encoder(channels, code_channels, heads, attended)
        self.decoder = _Decoder(channels, code_channels, heads, attended)
        self.quantize = Codebook(entries, code_channels)
        self.quant_conv = nn.Conv2d(code_channels, code_channels, 1)
        self.post_quant_conv = nn.Conv2d(code_channels, code_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        features, seen = self.encoder(images)
        codes = self.quantize(self.quant_conv(features))
        restored: Tensor = self.decoder(self.post_quant_conv(codes), seen)
        return restored


@dataclass(frozen=True)
class _Seen:
    """What the encoder saw in the damaged face: at the end, and at the resolutions that the decoder asks about."""

    middle: Tensor
    levels: dict[int, Tensor]


class _Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = normalisation(channels)
        # In the encoder, which attends to itself, the checkpoints have it too; nothing uses it there.
        self.norm2 = normalisation(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        self._heads = heads

    def forward(self, features: Tensor, seen: Tensor | None = None) -> Tensor:
        """Features ``[N, C, H, W]`` and what asks about them, of the same shape: by default they themselves."""
        own = self.norm1(features)
        asking = own if seen is None else self.norm2(seen)
        mixed: Tensor = self.proj_out(attention(self.q(asking), self.k(own), self.v(own), self._heads))
        return mixed.add_(features)


def _residual(inputs: int, outputs: int) -> ResidualBlock:
    return ResidualBlock(inputs, outputs, shortcut="nin_shortcut")


class _Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention where there is any."""

    def __init__(self, inputs: int, outputs: int, blocks: int, heads: int | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(_residual(outputs if place else inputs, outputs) for place in range(blocks))
        self.attn = nn.ModuleList(_Attention(outputs, heads) for _ in range(blocks) if heads is not None)

    def through(self, features: Tensor, seen: Tensor | None = None) -> Tensor:
        for place, block in enumerate(self.block):
            features = block(features)
            if self.attn:
                features = self.attn[place](features, seen)
        return features


class _Down(_Level):
    def __init__(self, inputs: int, outputs: int, heads: int | None, last: bool) -> None:
        super().__init__(inputs, outputs, _ENCODER_BLOCKS, heads)
        self.downsample = nn.Identity() if last else Downsample(outputs)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The features at this resolution and at the next."""
        features = self.through(features)
        return features, self.downsample(features)


class _Up(_Level):
    def __init__(self, inputs: int, outputs: int, heads: int | None, last: bool) -> None:
        super().__init__(inputs, outputs, _DECODER_BLOCKS, heads)
        self.upsample = nn.Identity() if last else Upsample(outputs)

    def forward(self, features: Tensor, seen: Tensor | None) -> Tensor:
        enlarged: Tensor = self.upsample(self.through(features, seen))
        return enlarged


class _Middle(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.block_1 = _residual(channels, channels)
        self.attn_1 = _Attention(channels, heads)
        self.block_2 = _residual(channels, channels)


class _Encoder(nn.Module):
    def __init__(self, channels: int, code_channels: int, heads: int, kept: Sequence[int]) -> None:
        super().__init__()
        self._kept = kept
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            _Down(before, width, heads if level == _COARSEST else None, last=level == _COARSEST)
            for level, (before, width) in enumerate(zip([channels, *widths[:-1]], widths, strict=True))
        )
        self.mid = _Middle(widths[-1], heads)
        self.norm_out = normalisation(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], code_channels, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, _Seen]:
        features = self.conv_in(images)
        levels = {}
        for number, level in enumerate(self.down):
            here, features = level(features)
            if number in self._kept:
                levels[number] = here
        # Of the coarsest resolution the decoder sees what one more block made of it.
        levels[_COARSEST] = self.mid.block_1(features)
        features = self.mid.block_2(self.mid.attn_1(levels[_COARSEST]))
        return self.conv_out(F.silu(self.norm_out(features))), _Seen(features, levels)


class _Decoder(nn.Module):
    def __init__(self, channels: int, code_channels: int, heads: int, attended: Sequence[int]) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.conv_in = nn.Conv2d(code_channels, widths[-1], 3, padding=1)
        self.mid = _Middle(widths[-1], heads)
        self.up = nn.ModuleList(
            _Up(before, width, heads if level in attended else None, last=level == 0)
            for level, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))
        )
        self.norm_out = normalisation(channels)
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, codes: Tensor, seen: _Seen) -> Tensor:
        features = self.mid.block_1(self.conv_in(codes))
        features = self.mid.block_2(self.mid.attn_1(features, seen.middle))
        for number, level in reversed(list(enumerate(self.up))):
            features = level(features, seen.levels.get(number))
        restored: Tensor = self.conv_out(F.silu(self.norm_out(features), inplace=True))
        return restored
