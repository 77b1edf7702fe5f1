"""What restorers with a codebook are made of: the blocks of VQGAN (Esser, Rombach, Ommer: Taming Transformers for
High-Resolution Image Synthesis, CVPR 2021), and the search in the codebook (van den Oord et al., 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def normalisation(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3, each after a normalisation and SiLU, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, shortcut: str) -> None:
        """
        Args:
            shortcut: what the authors call the convolution that gives the input as many channels as the output.
        """
        super().__init__()
        self.norm1 = normalisation(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = normalisation(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self._shortcut = shortcut if inputs != outputs else None
        if self._shortcut is not None:
            self.add_module(self._shortcut, nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.conv1(F.silu(self.norm1(features), inplace=True))
        change = self.conv2(F.silu(self.norm2(change), inplace=True))
        straight = features if self._shortcut is None else self.get_submodule(self._shortcut)(features)
        return change.add_(straight)


class Downsample(nn.Module):
    """Halves both sides. Zeros stand beyond the right and the lower border alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        halved: Tensor = self.conv(F.pad(features, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Doubles both sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        doubled: Tensor = self.conv(F.interpolate(features, scale_factor=2, mode="nearest"))
        return doubled


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention between all places of feature maps ``[N, C, H, W]``; a head has ``C / heads``
    neighbouring channels."""
    batch, channels, height, width = query.shape

    def places(features: Tensor) -> Tensor:
        return features.reshape(batch, heads, channels // heads, height * width).transpose(2, 3)

    mixed = F.scaled_dot_product_attention(places(query), places(key), places(value))
    return mixed.transpose(2, 3).reshape(query.shape)


def nearest_entries(features: Tensor, codebook: Tensor) -> Tensor:
    """Which entry of a codebook is nearest to the features at each place.

    Distances are taken in fp32 whatever the features are in: between entries they differ by less than the spacing of
    bfloat16.

    Args:
        features: ``[N, C, H, W]``.
        codebook: ``[K, C]``.

    Returns:
        ``[N, H, W]``, int64, 0 to K - 1.
    """
    entries = codebook.float()
    # The square of the feature is the same for all entries and left out.
    distances = entries.square().sum(dim=1) - 2 * (features.permute(0, 2, 3, 1).float() @ entries.T)
    return distances.argmin(dim=-1)


def looked_up(indices: Tensor, codebook: Tensor) -> Tensor:
    """The entries ``[N, C, H, W]`` of a codebook ``[K, C]`` at indices ``[N, H, W]``."""
    return F.embedding(indices, codebook).movedim(-1, 1).contiguous()


class Codebook(nn.Module):
    """The entries, under the name that the authors' checkpoints have for them."""

    def __init__(self, entries: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(entries, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Every place of ``[N, C, H, W]`` replaced by the nearest entry."""
        return looked_up(nearest_entries(features, self.embedding.weight), self.embedding.weight)
