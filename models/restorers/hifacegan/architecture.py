"""HiFaceGAN (Yang et al., "HiFaceGAN: Face Renovation via Collaborative Suppression and Replenishment", 2020).

An encoder pools the face down to a 32nd of its size with weights of its own making. From there a generator builds the
face up again, and at every size a guide says how much of each feature there is to be where (SPADE: Park et al., 2019):
the damaged picture itself, or what the encoder made of it at that size.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Guide = Literal["picture", "features"]

_SLOPE = 0.2
_HALVINGS = 5
_MOST = 16  # features at the smallest size, in multiples of those at the largest
_MOST_HIDDEN = 128
_GATE = 12.0


class HiFaceGan(nn.Module):
    """The network, with the names of the authors' files.

    Args:
        width: features at the size of the picture.
        guide: what guides the generator: "picture" is the authors' ``lipspade``, "features" their ``hifacegan``.
    """

    def __init__(self, width: int, guide: Guide = "picture") -> None:
        super().__init__()
        self.lip_encoder = Encoder(width)
        widths = [width * _MOST] * 3 + [width * most for most in (8, 4, 2, 1)]
        guides = [3] * len(widths) if guide == "picture" else widths
        # At the smallest size the generator takes up what the encoder has left, or the picture itself.
        self.fc = None if guide == "picture" else nn.Conv2d(3, widths[0], 3, padding=1)
        self.head_0 = Block(widths[0], widths[0], guides[0])
        self.G_middle_0 = Block(widths[1], widths[1], guides[1])
        self.G_middle_1 = Block(widths[1], widths[2], guides[2])
        self.ups = nn.ModuleList(Block(*step) for step in zip(widths[2:], widths[3:], guides[3:], strict=False))
        self.to_rgbs = nn.ModuleDict({"3": nn.Conv2d(width, 3, 3, padding=1)})

    def forward(self, images: Tensor) -> Tensor:
        """Restores ``[N, 3, H, W]`` in 0..1, sides multiples of 32; gives -1..1, of which 0..1 is the picture."""
        features = self.lip_encoder(images)
        if self.fc is None:
            hidden, guides = features[0], [images] * len(features)
        else:
            hidden, guides = self.fc(F.interpolate(images, features[0].shape[2:])), features
        hidden = _doubled(self.head_0(hidden, guides[0]))
        hidden = self.G_middle_1(self.G_middle_0(hidden, guides[1]), guides[1])
        for block, guide in zip(self.ups, guides[2:], strict=True):
            hidden = block(_doubled(hidden), guide)
        return torch.tanh(self.to_rgbs["3"](F.leaky_relu(hidden, _SLOPE)))


class Encoder(nn.Module):
    """Convolutions between poolings. Argument as :class:`HiFaceGan`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * min(2**halving, _MOST) for halving in range(_HALVINGS + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.InstanceNorm2d(width), nn.ReLU()]
        for before, after in itertools.pairwise(widths):
            layers += [Pooling(before), nn.Conv2d(before, after, 3, padding=1), nn.InstanceNorm2d(after), nn.ReLU()]
        # Without the last ReLU.
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of ``[N, 3, H, W]`` at six sizes, the smallest, ``[N, 16 * width, H / 32, W / 32]``, first."""
        features: list[Tensor] = []
        last = images
        for layer in self.model:
            if isinstance(layer, Pooling):
                features.append(last)
            last = layer(last)
        return [last, *features[::-1]]


class Pooling(nn.Module):
    """Halves the sides; how much a place counts is learned ("Local Importance-based Pooling", Gao et al., 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.logit = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.InstanceNorm2d(width, affine=True)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """``[N, width, H, W]`` to ``[N, width, H / 2, W / 2]``."""
        weight = torch.exp(_GATE * torch.sigmoid(self.logit(hidden)))
        return F.avg_pool2d(hidden * weight, 3, 2, 1) / F.avg_pool2d(weight, 3, 2, 1)


class Block(nn.Module):
    """Two guided convolutions beside a shortcut, which is one too where the number of features changes."""

    def __init__(self, inputs: int, outputs: int, guide: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        changes = inputs != outputs
        self.norm_0, self.conv_0 = Guidance(inputs, guide), nn.Conv2d(inputs, middle, 3, padding=1)
        self.norm_1, self.conv_1 = Guidance(middle, guide), nn.Conv2d(middle, outputs, 3, padding=1)
        self.norm_s = Guidance(inputs, guide) if changes else None
        self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False) if changes else None

    def forward(self, hidden: Tensor, guide: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``, guided by a picture or features of any size."""
        guide = F.interpolate(guide, hidden.shape[2:])
        normal = _normalised(hidden)
        if self.norm_s is not None and self.conv_s is not None:
            hidden = self.conv_s(self.norm_s(normal, guide))
        inner = self.conv_0(F.leaky_relu_(self.norm_0(normal, guide), _SLOPE))
        outer: Tensor = self.conv_1(F.leaky_relu_(self.norm_1(_normalised(inner), guide), _SLOPE))
        return hidden + outer


class Guidance(nn.Module):
    """Gives features a gain and an offset at every place, from a guide."""

    def __init__(self, width: int, guide: int) -> None:
        super().__init__()
        hidden = min(width, _MOST_HIDDEN)
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide, hidden, 3, padding=1), nn.ReLU(inplace=True))
        self.mlp_gamma = nn.Conv2d(hidden, width, 3, padding=1, bias=False)
        self.mlp_beta = nn.Conv2d(hidden, width, 3, padding=1, bias=False)

    def forward(self, normal: Tensor, guide: Tensor) -> Tensor:
        """Normalised features ``[N, width, H, W]`` and a guide of the same sides to ``[N, width, H, W]``."""
        shared = self.mlp_shared(guide)
        guided: Tensor = self.mlp_beta(shared)
        return guided.addcmul_(normal, self.mlp_gamma(shared))


def _doubled(hidden: Tensor) -> Tensor:
    return F.interpolate(hidden, scale_factor=2.0)


def _normalised(hidden: Tensor) -> Tensor:
    # The authors run their batch normalisation in training mode, one face at a time: the statistics are the face's.
    return F.instance_norm(hidden)
