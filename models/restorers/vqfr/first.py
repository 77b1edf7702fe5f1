"""The network of VQFR v1 (Gu et al.: VQFR, Blind Face Restoration with Vector-Quantized Dictionary and Parallel
Decoder, ECCV 2022).

A VQGAN of undamaged faces makes textures from the nearest entries of its codebook; a second decoder warps them to the
damaged face. Names of parameters are those of the authors' checkpoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vqgan import ResidualBlock, looked_up, nearest_entries, normalisation
from .warping import TextureWarping, level_name

# Channels of each resolution, from the finest to the coarsest, over those of the finest.
_MULTIPLIERS = (1, 1, 2, 2, 2, 4)
_COARSEST = len(_MULTIPLIERS) - 1
_ENCODER_BLOCKS = 2
_DECODER_BLOCKS = 3


class VQFRv1(nn.Module):
    """Restores pictures ``[N, 3, S, S]`` in -1..1, ``S`` a multiple of 32; trained at 512. Gives the same shape and
    range, with overshoots."""

    def __init__(
        self, *, channels: int = 128, entries: int = 1024, code_channels: int = 256, face_channels: int = 32
    ) -> None:
        """
        Args:
            channels: at the finest resolution.
            entries: of the codebook.
            code_channels: of an entry.
            face_channels: of the features of the damaged face that textures are compared with.
        """
        super().__init__()
        widths = [channels * multiplier for multiplier in _MULTIPLIERS]
        self.encoder = _Encoder(widths)
        self.quantizer = _Quantizer(widths[-1], entries, code_channels)
        self.decoder = _TextureDecoder(widths)
        self.main_decoder = _MainDecoder(widths, face_channels)
        self.inpfeat_extraction = nn.ModuleDict({"conv": nn.Conv2d(3, face_channels, 3, padding=1)})

    def forward(self, images: Tensor) -> Tensor:
        textures = self.decoder(self.quantizer(self.encoder(images)))
        restored: Tensor = self.main_decoder(textures, self.inpfeat_extraction["conv"](images), images)
        return restored


def _residual(inputs: int, outputs: int) -> ResidualBlock:
    return ResidualBlock(inputs, outputs, shortcut="shortcut_conv")


class _Enlarge(nn.Module):
    """Doubles both sides, after a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return F.interpolate(self.conv(features), scale_factor=2, mode="bilinear")


class _Shrink(nn.Module):
    """Divides both sides, by sampling without a filter, before a convolution."""

    def __init__(self, inputs: int, outputs: int, divisor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self._divisor = divisor

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        size = (height // self._divisor, width // self._divisor)
        shrunk: Tensor = self.conv(F.interpolate(features, size=size, mode="bilinear"))
        return shrunk


class _Encoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.pre_downsample_dict = nn.ModuleDict()
        self.encoder_dict = nn.ModuleDict()
        for level, (before, width) in enumerate(zip([widths[0], *widths[:-1]], widths, strict=True)):
            self.pre_downsample_dict[level_name(level)] = _Shrink(before, width, 2) if level else nn.Identity()
            self.encoder_dict[level_name(level)] = nn.Sequential(
                *(_residual(width, width) for _ in range(_ENCODER_BLOCKS))
            )
        self.enc_convout_dict = nn.ModuleDict(
            {
                level_name(_COARSEST): nn.Sequential(
                    normalisation(widths[-1]),
                    nn.SiLU(inplace=True),
                    nn.Conv2d(widths[-1], widths[-1], 3, padding=1),
                )
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv_in(images)
        for shrink, blocks in zip(self.pre_downsample_dict.values(), self.encoder_dict.values(), strict=True):
            features = blocks(shrink(features))
        encoded: Tensor = self.enc_convout_dict[level_name(_COARSEST)](features)
        return encoded


class _NearestCodes(nn.Module):
    """Every place replaced by the nearest entry of the codebook, compared in the codebook's own channels."""

    def __init__(self, channels: int, entries: int, code_channels: int) -> None:
        super().__init__()
        self.quant_conv = nn.Conv2d(channels, code_channels, 1)
        self.embedding = nn.Embedding(entries, code_channels)
        self.post_quant_conv = nn.Conv2d(code_channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        codebook = self.embedding.weight
        codes: Tensor = self.post_quant_conv(looked_up(nearest_entries(self.quant_conv(features), codebook), codebook))
        return codes


class _Quantizer(nn.Module):
    def __init__(self, channels: int, entries: int, code_channels: int) -> None:
        super().__init__()
        self.quantize_dict = nn.ModuleDict({level_name(_COARSEST): _NearestCodes(channels, entries, code_channels)})

    def forward(self, features: Tensor) -> Tensor:
        codes: Tensor = self.quantize_dict[level_name(_COARSEST)](features)
        return codes


class _TextureDecoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.pre_upsample_dict = nn.ModuleDict()
        self.decoder_dict = nn.ModuleDict()
        for level, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
            enlarge = nn.Identity() if level == _COARSEST else _Enlarge(before, width)
            self.pre_upsample_dict[level_name(level)] = enlarge
            self.decoder_dict[level_name(level)] = nn.Sequential(
                *(_residual(width, width) for _ in range(_DECODER_BLOCKS))
            )
        # Paints the textures unwarped, which only the authors' training looks at.
        self.conv_out = nn.Sequential(
            normalisation(widths[0]), nn.SiLU(inplace=True), nn.Conv2d(widths[0], 3, 3, padding=1)
        )

    def forward(self, codes: Tensor) -> list[Tensor]:
        """The textures of every resolution, the finest first."""
        textures: list[Tensor] = []
        features = codes
        for level in reversed(range(_COARSEST + 1)):
            name = level_name(level)
            features = self.decoder_dict[name](self.pre_upsample_dict[name](features))
            textures.insert(0, features)
        return textures


class _Warping(TextureWarping):
    """Takes the features of the face at the finest resolution."""

    def __init__(self, channels: int, face_channels: int, previous_channels: int, level: int) -> None:
        super().__init__(channels, face_channels, previous_channels)
        self.downsample = _Shrink(face_channels, face_channels, 2**level) if level else nn.Identity()

    def forward(self, texture: Tensor, face: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        return super().forward(texture, self.downsample(face), previous)


class _MainDecoder(nn.Module):
    """Warps the textures of every resolution to the face and joins them, from the coarsest to the finest."""

    def __init__(self, widths: list[int], face_channels: int) -> None:
        super().__init__()
        self.align_func_dict = nn.ModuleDict()
        self.pre_upsample_dict = nn.ModuleDict()
        self.decoder_dict = nn.ModuleDict()
        for level, (before, width) in enumerate(zip([*widths[1:], 0], widths, strict=True)):
            self.align_func_dict[level_name(level)] = _Warping(width, face_channels, before, level)
            if level != _COARSEST:
                self.pre_upsample_dict[level_name(level)] = _Enlarge(before, width)
                self.decoder_dict[level_name(level)] = _residual(2 * width, width)
        self.conv_out_1 = nn.Sequential(normalisation(widths[0]), nn.SiLU(inplace=True))
        self.conv_out = nn.Sequential(nn.Conv2d(widths[0] + 3, 3, 3, padding=1))

    def forward(self, textures: list[Tensor], face: Tensor, images: Tensor) -> Tensor:
        painted, guide = self.align_func_dict[level_name(_COARSEST)](textures[_COARSEST], face, None)
        for level in reversed(range(_COARSEST)):
            name = level_name(level)
            warped, guide = self.align_func_dict[name](textures[level], face, guide)
            enlarged = self.pre_upsample_dict[name](painted)
            painted = self.decoder_dict[name](torch.cat([enlarged, warped], dim=1))
        restored: Tensor = self.conv_out(torch.cat([self.conv_out_1(painted), images], dim=1))
        return restored
