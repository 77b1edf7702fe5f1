"""The first network of visage-detect: single-shot, without anchor boxes, boxes and five landmarks.

The parts are those of the field: a fully convolutional head shared by three levels of a feature pyramid that is
asked at every cell (Tian et al., "FCOS", 2019; Lin et al., "Feature Pyramid Networks", 2017). The first layer works
at a quarter of the resolution, on the pixels of 4 x 4 blocks as channels (the "focus" or space-to-depth stem).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
_BLOCK = 4
# Sizes and landmarks are told in this many strides: about the size of the faces that a level is asked for.
_UNIT = 4.0
# Score, centre, logarithms of the sides, five points.
_VALUES = 1 + 2 + 2 + 10
# An untrained network says "face" with this probability, which keeps the first losses small (Lin et al., "Focal Loss
# for Dense Object Detection", 2017).
_PRIOR_LOGIT = -4.6
# e to this, in units, is as large as a face may be: no overflow from a network that is still wild.
_LARGEST_LOG = 6.0


@dataclass(frozen=True)
class Widths:
    """Channels of the features at strides 4, 8, 16 and 32, and of the pyramid with its head."""

    first: int = 32
    second: int = 64
    third: int = 96
    fourth: int = 160
    pyramid: int = 48


class Convolution(nn.Sequential):
    """Convolution and ReLU, with batch normalisation between them while training."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1, *, normalised: bool) -> None:
        convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=not normalised)
        norm: list[nn.Module] = [nn.BatchNorm2d(out)] if normalised else []
        super().__init__(convolution, *norm, nn.ReLU(inplace=True))


class Block(nn.Module):
    """Looks around each place, then mixes its channels, beside a shortcut."""

    def __init__(self, channels: int, *, normalised: bool) -> None:
        super().__init__()
        self.spread = Convolution(channels, channels, normalised=normalised)
        self.mix = Convolution(channels, channels, 1, normalised=normalised)

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.spread(features))
        return features + mixed


class VisageDetect(nn.Module):
    """``[N, 3, h, w]``, 0..1, sides multiples of 32, to three maps ``[N, 15, h / s, w / s]`` for :data:`STRIDES`.

    Args:
        widths: channels.
        normalised: with batch normalisation, as it is trained; without, as it is shipped (see :meth:`fused`).
    """

    def __init__(self, widths: Widths | None = None, *, normalised: bool = False) -> None:
        super().__init__()
        self.widths = widths = widths or Widths()

        def convolution(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
            return Convolution(channels, out, kernel, stride, normalised=normalised)

        def stage(channels: int, out: int, depth: int) -> nn.Module:
            blocks = [Block(out, normalised=normalised) for _ in range(depth)]
            return nn.Sequential(convolution(channels, out, 3, 2), *blocks)

        self.stem = convolution(3 * _BLOCK**2, widths.first)
        self.stage8 = stage(widths.first, widths.second, 2)
        self.stage16 = stage(widths.second, widths.third, 2)
        self.stage32 = stage(widths.third, widths.fourth, 2)
        levels = (widths.second, widths.third, widths.fourth)
        self.lateral = nn.ModuleList(convolution(channels, widths.pyramid, 1) for channels in levels)
        self.smooth = nn.ModuleList(convolution(widths.pyramid, widths.pyramid) for _ in levels)
        self.head = convolution(widths.pyramid, widths.pyramid)
        self.predict = nn.Conv2d(widths.pyramid, _VALUES, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        bias = torch.zeros(_VALUES)
        bias[0] = _PRIOR_LOGIT
        self.predict.bias = nn.Parameter(bias)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        features = self.stem(F.pixel_unshuffle(pictures - 0.5, _BLOCK))
        maps = []
        for stage in (self.stage8, self.stage16, self.stage32):
            features = stage(features)
            maps.append(features)
        coarser: Tensor | None = None
        outputs = []
        for lateral, smooth, level in reversed(list(zip(self.lateral, self.smooth, maps, strict=True))):
            merged = lateral(level)
            if coarser is not None:
                merged = merged + F.interpolate(coarser, scale_factor=2.0, mode="nearest")
            coarser = smooth(merged)
            outputs.append(self.predict(self.head(coarser)))
        return outputs[::-1]

    def fused(self) -> VisageDetect:
        """A copy in evaluation mode whose convolutions have taken in their batch normalisations: the same function."""
        return fused_into(VisageDetect(self.widths), self)


M = TypeVar("M", bound=nn.Module)


def fused_into(plain: M, trained: nn.Module) -> M:
    """Gives a network without batch normalisation the function of one with it, in evaluation mode.

    Args:
        plain: the same network as ``trained``, but for the normalisations in its :class:`Convolution`.
    """
    tensors = trained.state_dict()
    for name, module in trained.named_modules():
        if isinstance(module, Convolution):
            convolution, norm = module[0], module[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                convolution = nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
            tensors |= {f"{name}.0.{key}": value for key, value in convolution.state_dict().items()}
    plain.load_state_dict({name: tensors[name] for name in plain.state_dict()})
    plain.to(next(trained.parameters()).device).eval().requires_grad_(False)
    return plain


@dataclass(frozen=True)
class Predictions:
    """What the network says at every cell of all levels, in pixels from the upper left corner of the picture's edge.

    Attributes:
        logits: ``[N, A]``; their sigmoid is the score.
        boxes: ``[N, A, 4]`` left, top, right, bottom.
        landmarks: ``[N, A, 5, 2]``.
    """

    logits: Tensor
    boxes: Tensor
    landmarks: Tensor


def cells_of(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """``[A, 3]``: x, y of the centre of every cell of a picture, from its edge, and the stride of its level."""
    tables = []
    for stride in STRIDES:
        y = (torch.arange(height // stride, device=device) + 0.5) * stride
        x = (torch.arange(width // stride, device=device) + 0.5) * stride
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        tables.append(torch.stack((columns, rows, torch.full_like(rows, stride)), -1).view(-1, 3))
    return torch.cat(tables)


def decoded(maps: list[Tensor], cells: Tensor) -> Predictions:
    """Puts the maps of :class:`VisageDetect` into pixels; float32, with gradient.

    Args:
        maps: its output.
        cells: ``[A, 3]`` from :func:`cells_of`, of the size of the pictures.
    """
    rows = torch.cat([level.flatten(2) for level in maps], 2).mT.float()
    stride = cells[:, 2:]
    middle = cells[:, :2] + rows[..., 1:3] * stride
    half = rows[..., 3:5].clamp(max=_LARGEST_LOG).exp() * (stride * _UNIT / 2)
    points = rows[..., 5:].reshape(*rows.shape[:2], 5, 2) * (stride * _UNIT)[:, None] + cells[:, None, :2]
    return Predictions(rows[..., 0], torch.cat((middle - half, middle + half), -1), points)
