"""Visage's own small detector: single-shot, without anchor boxes, boxes and five landmarks.

The parts are those of the field: a fully convolutional head shared by three levels of a feature pyramid that is
asked at every cell (Tian et al., "FCOS", 2019; Lin et al., "Feature Pyramid Networks", 2017). The first layer works
at a quarter of the resolution, on the pixels of 4 x 4 blocks as channels (the "focus" or space-to-depth stem).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..host import Host, Resident
from ..weights import WeightsError
from .candidates import Candidates, joined, most_likely
from .proposer import channels_last

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
# Longer side in pixels of faces from which on the second look is the better one: the network has seen few larger ones.
_LARGEST = 180.0
# Peak of the working memory per pixel of a picture, and twice that for a reserve.
_BYTES_PER_PIXEL = 60


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


class _Residual(nn.Module):
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
            blocks = [_Residual(out, normalised=normalised) for _ in range(depth)]
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
        plain = VisageDetect(self.widths).to(self.predict.weight.device)
        trained = [module for module in self.modules() if isinstance(module, Convolution)]
        targets = [module for module in plain.modules() if isinstance(module, Convolution)]
        for source, target in zip(trained, targets, strict=True):
            convolution, norm = source[0], source[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                convolution = nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
            target[0].load_state_dict(convolution.state_dict())
        plain.predict.load_state_dict(self.predict.state_dict())
        return plain.eval().requires_grad_(False)


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


def is_visage(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of :class:`VisageDetect` as it is shipped, by its keys."""
    return {"stem.0.weight", "stage32.0.0.weight", "lateral.2.0.bias", "predict.weight"} <= tensors.keys()


def build_visage(name: str, tensors: Mapping[str, Tensor]) -> VisageDetect:
    """The network with these weights, as wide as they are, in evaluation mode and float32.

    Raises:
        WeightsError: tensors are missing or of the wrong shape.
    """
    try:
        second, third, fourth = (tensors[f"stage{stride}.0.0.weight"].shape[0] for stride in STRIDES)
        first, pyramid = tensors["stem.0.weight"].shape[0], tensors["predict.weight"].shape[1]
        network = VisageDetect(Widths(first, second, third, fourth, pyramid))
        network.load_state_dict(dict(tensors), strict=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(
            f"{name} looks like visage-detect, but tensors are missing or of the wrong shape. "
            "Delete it and download it again."
        ) from error
    network.eval().requires_grad_(False)
    channels_last(network)
    return network


class VisageProposer:
    """visage-detect: boxes and five landmarks.

    Pictures are looked at twice: as they are, for faces of the sizes that the network knows, and at half their size,
    for larger ones. The second look costs a quarter of the first.
    """

    labels = ("face",)
    stride = 2 * STRIDES[-1]

    def __init__(self, name: str, tensors: Mapping[str, Tensor], host: Host) -> None:
        """Builds the network and hands it to the host.

        Raises:
            WeightsError: as :func:`build_visage`.
        """
        self.name = name
        self.resident: Resident[nn.Module] = host.adopt(build_visage(name, tensors), torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL

    @torch.inference_mode()
    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        inputs = pictures.to(device, self.resident.dtype, memory_format=torch.channels_last)
        near, far = self._look(inputs), self._look(F.avg_pool2d(inputs, 2))
        found = []
        for index in range(count):
            usual = _candidates(near, index, min_score, 1, 0, _LARGEST)
            large = _candidates(far, index, min_score, 2, _LARGEST / 2, math.inf)
            candidates = joined([usual, large])
            found.append(candidates.select(candidates.surviving(overlap)))
        return found

    def _look(self, inputs: Tensor) -> Predictions:
        height, width = inputs.shape[2:]
        return decoded(self.resident.module(inputs), cells_of(height, width, inputs.device))


def _candidates(
    predictions: Predictions, index: int, min_score: float, scale: int, smallest: float, largest: float
) -> Candidates:
    """What may be faces in one picture, those with a longer side of ``smallest`` to ``largest``.

    Args:
        scale: pixels of the picture in one of those that the network saw.
    """
    scores = predictions.logits[index].sigmoid()
    boxes = predictions.boxes[index] * scale
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    scores = scores.where((sides >= smallest) & (sides <= largest), scores.new_zeros(()))
    likely = most_likely(scores, min_score)
    # Half a pixel from the edge of the picture to the centre of its first pixel.
    landmarks = predictions.landmarks[index, likely] * scale - 0.5
    return Candidates(boxes[likely] - 0.5, scores[likely], torch.zeros_like(likely), landmarks)
